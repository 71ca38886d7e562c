"""The settings of the generators. Used by root."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bood_tasks.config.fields import (
    Count,
    Names,
    Natural,
    NonNegative,
    Positive,
    Revision,
    Section,
    Share,
    WeightsPath,
)
from bood_tasks.networks.small_diffusion import (
    MOST_HALVINGS,
    SIDE,
    UNET_CHANNELS,
    UNET_GROUPS,
    VAE_CHANNELS,
    VAE_GROUPS,
)

Channels = Annotated[list[Count], Field(min_length=1)]


class GanTraining(Section):
    """How `source: train` makes a class-conditional BigGAN from the ID training pictures."""

    channels: Count = Field(
        24, description="Channel multiplier (BigGAN's ch); the authors' CIFAR model has 64."
    )
    latent: Count = Field(64, description="Dimension of the latent vector z.")
    shared: Natural = Field(
        32,
        description="Dimension of the class embedding shared by all norm layers; 0 = an "
        "embedding for each layer.",
    )
    attention: Natural = Field(
        16, description="Resolution in pixels per side that has self-attention; 0 = none."
    )
    steps: Count = Field(4000, description="Number of training steps of the generator.")
    batch_size: Count = Field(64, description="Pictures per step.")
    d_steps: Count = Field(
        2, description="Training steps of the discriminator for each one of the generator."
    )
    lr_g: Positive = Field(2e-4, description="Learning rate of the generator.")
    lr_d: Positive = Field(2e-4, description="Learning rate of the discriminator.")
    adam_eps: Positive = Field(
        1e-6, description="Adam's epsilon for both networks; BigGAN's CIFAR script has 1e-8."
    )
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.999,
        description="Decay per step of the moving average of the generator's weights, in [0, 1).",
    )
    orthogonal: NonNegative = Field(
        1e-4, description="Weight of the generator's orthogonal regularisation."
    )
    flip: bool = Field(
        False, description="Whether training pictures are flipped left to right at random."
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="Number format of the passes in training."
    )
    stored: Literal["float32", "float16"] = Field(
        "float32", description="Number format of the weights on disk."
    )
    seed: Natural = Field(0, description="Seed of the training.")


class Weights(Section):
    """Where a generator's weights come from: trained here, or a local path."""

    source: Literal["train", "local"] = Field(
        "train",
        description="Where the weights come from: train = trained here, local = read from `path`.",
    )
    path: str | None = Field(
        None, description="File or folder of the weights where `source` is local; null = none."
    )

    @model_validator(mode="after")
    def _has_path(self) -> "Weights":
        if self.source == "local" and self.path is None:
            raise ValueError("path must name weights where source is local, got none")
        return self


class GanGenerator(Weights):
    """The class-conditional BigGAN: trained here, or local weights of your own or released ones."""

    path: WeightsPath | None = Field(
        None,
        description="File or folder of the weights where `source` is local, or `released:<name>` "
        "of bood_tasks/catalogue/weights.py; null = none.",
    )
    layout: Literal["own", "biggan-pytorch", "pytorch-pretrained-biggan"] = Field(
        "own",
        description="Layout of the weights at `path`; own = a folder written by the stage "
        "gan_generator.",
    )
    attention: Natural = Field(
        0,
        description="Resolution in pixels per side that has self-attention in a biggan- "
        "pytorch checkpoint; 0 = none.",
    )
    train: GanTraining = GanTraining()


class LanguageModelTraining(Section):
    """How `source: train` makes the language model from the ID training texts."""

    layers: Count = Field(2, description="Number of transformer layers.")
    width: Count = Field(128, description="Dimension of the word vectors.")
    heads: Count = Field(4, description="Number of attention heads.")
    hidden: Count = Field(512, description="Number of units of the feed-forward layers.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.2, description="Share of activations dropped, in [0, 1)."
    )
    context: Count = Field(35, description="Number of words in one training sequence.")
    epochs: Count = Field(10, description="Passes over the ID training texts.")
    batch_size: Count = Field(32, description="Sequences per step.")
    lr: Positive = Field(1e-3, description="Learning rate at the start.")
    optimiser: Literal["adam", "sgd"] = Field(
        "adam",
        description="Rule by which the weights are updated; PyTorch's example has plain sgd.",
    )
    schedule: Literal["cosine", "plateau"] = Field(
        "cosine",
        description="Course of the learning rate: cosine = it falls to zero, plateau = a quarter "
        "after every pass that does not lower the held-out perplexity, and the best pass is kept.",
    )
    clip_norm: Positive | None = Field(
        0.25,
        description="Largest norm of the whole gradient of a step; a larger one is scaled down, "
        "null = none is.",
    )
    order: Literal["shuffled", "stream"] = Field(
        "shuffled",
        description="Order of the words: shuffled = texts and sequences anew in every pass, stream "
        "= the texts as one, in as many columns as a step has sequences.",
    )
    tied: bool = Field(
        True, description="Whether one matrix serves the words read and the words written."
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="Number format of the passes in training."
    )
    stored: Literal["float32", "float16"] = Field(
        "float32", description="Number format of the weights on disk."
    )
    seed: Natural = Field(0, description="Seed of the training.")


class LanguageModel(Weights):
    """The causal transformer that outlier texts are sampled from."""

    path: str | None = Field(
        None, description="Folder of the weights where `source` is local; null = none."
    )
    train: LanguageModelTraining = LanguageModelTraining()


class GeneratorTraining(Section):
    """How `source: train` makes a text-to-image generator (see docs/generator.md)."""

    init_from: str | None = Field(
        None,
        description="Diffusers folder to fine-tune; null = a small model is trained from scratch.",
    )
    also: Names = Field(
        [],
        description="Data sets whose training pictures are learned beside the ID pictures, each "
        "under the name of its class; of one without such a split all pictures. No OOD test set.",
    )
    world_per_word: Natural = Field(
        200, description="Number of pictures drawn for each word beside the ID pictures; 0 = none."
    )
    id_share: Share = Field(0.2, description="Share of ID pictures in every batch, in (0, 1].")
    vae_steps: Natural = Field(
        2400, description="Number of training steps of the VAE; 0 = it stays as it is."
    )
    unet_steps: Count = Field(
        4000, description="Number of training steps of U-Net and text encoder."
    )
    batch_size: Count = Field(64, description="Pictures per step.")
    lr: Positive = Field(1.5e-3, description="Learning rate at the start.")
    caption_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1,
        description="Share of captions replaced by the empty one, in [0, 1), for classifier- "
        "free guidance.",
    )
    vae_channels: Channels = Field(
        list(VAE_CHANNELS),
        description="Channels of the VAE from the pixels on, multiples of 8; each further one "
        "halves the side of the latents.",
    )
    unet_channels: Channels = Field(
        list(UNET_CHANNELS),
        description="Channels of the U-Net from the latents on, multiples of 16; each further one "
        "halves the side.",
    )
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.999, description="Decay per step of the moving average of the weights, in [0, 1)."
    )
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="Number format of the passes in training."
    )
    minutes: Positive | None = Field(
        None,
        description="Minutes that the training may take: `vae_steps` and `unet_steps` are then the "
        "most, and as many are made as fit, by the rate of the first ones. null = all steps.",
    )
    seed: Natural = Field(0, description="Seed of the training.")

    @model_validator(mode="after")
    def _fits_the_norms(self) -> "GeneratorTraining":
        for name, unit in (("vae_channels", VAE_GROUPS), ("unet_channels", UNET_GROUPS)):
            if wrong := [width for width in getattr(self, name) if width % unit]:
                raise ValueError(f"{name} must be multiples of {unit}, got {wrong[0]}")
        halvings = len(self.vae_channels) + len(self.unet_channels) - 2
        if halvings > MOST_HALVINGS:
            raise ValueError(
                f"vae_channels and unet_channels must halve a side of {SIDE} pixels at most "
                f"{MOST_HALVINGS} times, got {halvings}, one less than numbers in each list"
            )
        return self


class Lora(Section):
    """A LoRA that is fused into the generator's weights: a file, or one of the hub."""

    path: str | None = Field(None, description="The LoRA's .safetensors file; null = none.")
    repo: str | None = Field(
        None, description="Name of the repository on the hub that has it; null = none."
    )
    revision: Revision | None = Field(
        None, description="Commit of that repository, 40 hexadecimal digits; null = none."
    )
    file: str = Field(
        "pytorch_lora_weights.safetensors", description="Name of the file in that repository."
    )
    scale: Annotated[float, Field(allow_inf_nan=False)] = Field(
        1.0, description="Factor of the LoRA's change of the weights."
    )

    @model_validator(mode="after")
    def _is_one_file(self) -> "Lora":
        if self.path is not None and self.repo is not None:
            raise ValueError("path and repo must not both be given; a LoRA is one file")
        if self.repo is not None and self.revision is None:
            raise ValueError(f"revision must name a commit of {self.repo}, got none")
        return self

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return self.path is not None or self.repo is not None


class Generator(Section):
    """The text-to-image pipeline that decodes outlier embeddings."""

    source: Literal["local", "hub", "train"] = Field(
        "local",
        description="Where the weights come from: local = a folder, hub = fetched from the "
        "Hugging Face hub, train = trained here.",
    )
    path: str = Field(
        "embedded:generator",
        description="Diffusers folder where `source` is local; `embedded:generator` ships "
        "with the project.",
    )
    repo: str = Field(
        "CompVis/stable-diffusion-v1-4",
        description="Name of the repository on the hub where `source` is hub.",
    )
    revision: Revision = Field(
        "133a221b8aa7292a167afc5127cb63fb5005638b",
        description="Commit of the repository, 40 hexadecimal digits, where `source` is hub.",
    )
    lora: Lora = Lora()
    train: GeneratorTraining = GeneratorTraining()

    @model_validator(mode="after")
    def _adapts_what_is_there(self) -> "Generator":
        if self.source == "train" and self.lora.given:
            raise ValueError(
                "lora must be none where source is train: it is made for other weights; train with "
                "init_from, or take source local or hub"
            )
        return self
