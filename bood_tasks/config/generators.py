"""The settings of the generators. Used by root."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bood_tasks.config.fields import Count, Natural, NonNegative, Positive, Revision, Section, Share


class GanTraining(Section):
    """How `source: train` makes a class-conditional BigGAN from the ID training pictures."""

    channels: Count = Field(24, description="BigGAN's ch; the authors' CIFAR model has 64")
    latent: Count = Field(64, description="dimensions of z")
    shared: Natural = Field(32, description="of the class embedding; 0: one for each norm layer")
    attention: Natural = Field(16, description="pixels a side with self-attention; 0 = none")
    steps: Count = Field(4000, description="of the generator")
    batch_size: Count = 64
    d_steps: Count = Field(2, description="of the discriminator for each of the generator's")
    lr_g: Positive = 2e-4
    lr_d: Positive = 2e-4
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(0.999, description="of the weights, a step")
    orthogonal: NonNegative = Field(1e-4, description="orthogonal regularisation of the generator")
    flip: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    stored: Literal["float32", "float16"] = "float32"
    seed: Natural = 0


class Weights(Section):
    """Of a generator: trained here, or at hand."""

    source: Literal["train", "local"] = "train"
    path: str | None = Field(None, description="file or folder, for `local`")

    @model_validator(mode="after")
    def _has_path(self) -> "Weights":
        if self.source == "local" and self.path is None:
            raise ValueError("path must name weights where source is local, got none")
        return self


class GanGenerator(Weights):
    """The class-conditional generator: trained here, or one's own or released weights."""

    layout: Literal["own", "biggan-pytorch", "pytorch-pretrained-biggan"] = Field(
        "own", description="of `path`: own = a folder that this stage left"
    )
    attention: Natural = Field(
        0, description="pixels a side with self-attention in a biggan-pytorch checkpoint; 0 = none"
    )
    train: GanTraining = GanTraining()


class LanguageModelTraining(Section):
    """How `source: train` makes the language model from the ID training texts."""

    layers: Count = 2
    width: Count = 128
    heads: Count = 4
    hidden: Count = Field(512, description="of the feed-forward layers")
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    context: Count = Field(35, description="words of one training row")
    epochs: Count = 10
    batch_size: Count = 32
    lr: Positive = 1e-3
    tied: bool = Field(True, description="one matrix for words read and words written")
    precision: Literal["fp32", "bf16"] = "fp32"
    stored: Literal["float32", "float16"] = "float32"
    seed: Natural = 0


class LanguageModel(Weights):
    """The causal transformer that outlier texts are sampled from."""

    path: str | None = Field(None, description="folder, for `local`")
    train: LanguageModelTraining = LanguageModelTraining()


class GeneratorTraining(Section):
    """How `source: train` makes a text-to-image generator (see docs/generator.md)."""

    init_from: str | None = Field(
        None, description="a diffusers folder to fine-tune; null trains a small model from scratch"
    )
    world_per_word: Natural = Field(200, description="drawn pictures a word beside the ID data")
    id_share: Share = Field(0.2, description="ID pictures in every batch")
    vae_steps: Natural = 2400
    unet_steps: Count = 4000
    batch_size: Count = 64
    lr: Positive = 1.5e-3
    caption_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.1, description="share of empty captions, for classifier-free guidance"
    )
    seed: Natural = 0


class Generator(Section):
    """The text-to-image pipeline that decodes outlier embeddings."""

    source: Literal["local", "hub", "train"] = "local"
    path: str = Field("embedded:generator", description="a diffusers folder, for `local`")
    repo: str = Field("CompVis/stable-diffusion-v1-4", description="its name on the hub, for `hub`")
    revision: Revision = Field(
        "133a221b8aa7292a167afc5127cb63fb5005638b", description="the commit fetched, for `hub`"
    )
    train: GeneratorTraining = GeneratorTraining()
