"""The settings of the stages on BOOD's way from pictures to figures, one class each. Used by
config."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bood_tasks.config_fields import (
    Count,
    Name,
    Natural,
    NonNegative,
    Positive,
    Prompt,
    Revision,
    Section,
    Share,
)
from bood_tasks.config_methods import Gan, Npos, OutlierExposure, Vos


class Image(Section):
    """How every data set and every generated image reaches the classifier's resolution."""

    size: Count = Field(32, description="pixels a side")
    fit: Literal["pad", "resize"] = Field(
        "pad", description="pad: smaller pictures keep their pixels on a black border"
    )
    kernel: Literal["bilinear", "bicubic", "lanczos", "box"] = Field(
        "bilinear", description="of every resize, antialiased"
    )
    crop: Count | None = Field(
        None,
        description="pixels a side that networks see: random in training, else the centre; "
        "null = size",
    )

    @model_validator(mode="after")
    def _crop_fits(self) -> "Image":
        if self.crop is not None and self.crop > self.size:
            raise ValueError(f"crop must be at most size = {self.size}, got {self.crop}")
        return self


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


class Anchors(Section):
    """Class anchors: rows of the text encoder's token-embedding table (method: section 1)."""

    aliases: Literal["none", "cifar100", "imagenet100"] = Field(
        "none", description="shipped one-word aliases of a data set's class names"
    )
    words: dict[str, str] = Field({}, description="class name: one-word alias; default the name")


class Training(Section):
    """What encoder and detector share."""

    precision: Literal["fp32", "bf16"] = Field("fp32", description="of the passes in training")
    augment: Literal["shift", "resized_crop"] = Field(
        "shift", description="crops of the padded picture, or of a random part, resized"
    )

    depth: Count = Field(18, description="ResNet-18, -34, -50; a WideResNet's 6 n + 4")
    width: Count = Field(
        16,
        description="channels of the first stage, the papers' 64; a WideResNet's widening factor",
    )
    stem: Literal["cifar", "strided", "imagenet"] = Field(
        "strided", description="3x3 stride 1, 3x3 stride 2, or 7x7 stride 2 with max-pooling"
    )
    epochs: Count = 8
    batch_size: Count = 128
    lr: Positive = 0.1
    weight_decay: NonNegative = 5e-4
    crop_padding: Natural = 2
    flip: bool = True
    clip_norm: Positive = Field(1.0, description="largest norm of a step's whole gradient")
    optimiser: Literal["sgd", "adam"] = "sgd"
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.9, description="of SGD, Nesterov's; 0 = none"
    )
    schedule: Literal["cosine", "constant"] = "cosine"
    steps: Count | None = Field(
        None, description="training ends after so many; null = after all epochs"
    )


class Encoder(Training):
    """Equation 2: cross-entropy over cosines to the anchors, divided by t."""

    depth: Literal[18, 34, 50] = 18
    temperature: Positive = 0.1


class Distances(Section):
    """Equation 3: sign-gradient steps until the prediction changes."""

    step_size: Positive = Field(0.015, description="alpha")
    max_steps: Count = Field(100, description="K")
    feature_space: Literal["unit", "raw"] = "unit"
    rows: Literal["all", "nearest"] = Field(
        "all", description="nearest: only rows that may be selected are stepped; same selection"
    )


class DreamOod(Section):
    """DreamOOD's sampler (Du et al. 2023): Gaussian steps from a class's outermost features."""

    neighbours: Count = Field(300, description="k, of the distance to the k-th neighbour")
    boundary: Count = Field(50, description="outermost features of a class; ImageNet-100: 200")
    candidates: Count = Field(1500, description="Gaussian candidates a feature")
    sigma: Positive = Field(0.07, description="their standard deviation; ImageNet-100: 0.03")
    vectors: Count = Field(1000, description="outlier vectors of each class")
    reference_bug: bool = Field(
        False, description="pick candidates as the published code does, in effect at random"
    )


class OodFeatures(Section):
    """Selection and perturbation (equations 4 and 5), or DreamOOD's sampler in their place."""

    sampler: Literal["bood", "dreamood"] = "bood"
    dreamood: DreamOod = DreamOod()
    select: Literal["boundary", "random"] = "boundary"
    rate: Share = Field(0.05, description="r, share of each class")
    scope: Literal["per_class", "global"] = "per_class"
    misclassified: Literal["keep", "drop"] = "drop"
    perturb: Literal["adversarial", "gaussian", "centroid", "none"] = "adversarial"
    extra_steps: Natural = Field(2, description="c, steps after crossing")
    rescale: Literal["anchor", "anchor_no_renorm", "none"] = "anchor"
    sigma: Positive = Field(0.03, description="for `gaussian`: standard deviation per dimension")
    shift: Positive = Field(0.5, description="for `centroid`: step away, in units of ||z||")


class Images(Section):
    """Decoding (equation 6)."""

    per_class: Count = 200
    shard: Count = Field(100, description="images of every class in one shard")
    prompt: Prompt = "A high-quality image of the {class}"
    decode: Literal["outliers", "anchors", "words"] = Field(
        "outliers", description="outlier vectors, the plain class anchors, or `words`"
    )
    words: list[str] = Field([], description="for `decode: words`: their own embeddings")
    scheduler: Literal["pndm", "ddim", "dpmsolver++", "unipc"] = "pndm"
    steps: Count = 20
    guidance: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 7.5
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    latent_scale: NonNegative = Field(
        1.0, description="of the initial noise; beyond 1 the pipeline runs outside its range (GOE)"
    )
    stop_after: Count | None = Field(
        None, description="decode after so many of the steps; null = after all"
    )
    resolution: Count | None = Field(
        None, description="pixels a side that are generated; null = what the pipeline was made for"
    )
    saved_size: Count | None = Field(None, description="pixels kept; null = as generated")
    kernel: Literal["bilinear", "bicubic", "area"] = Field(
        "bilinear", description="of the resize to saved_size, antialiased"
    )

    @model_validator(mode="after")
    def _stops_within(self) -> "Images":
        if self.stop_after is not None and self.stop_after > self.steps:
            raise ValueError(
                f"stop_after must be at most steps = {self.steps}, got {self.stop_after}"
            )
        return self


class Gru(Section):
    """The text classifier: embedding, GRU, linear layer (Hendrycks & Gimpel 2017)."""

    embedding: Count = 50
    hidden: Count = 128
    layers: Count = 2


class Detector(Training):
    """How the rows' classifiers are trained; `ood_weight`, `reduction` and `phi` are equation 7's:
    CE + beta * OOD term, both kinds of row in one forward pass."""

    network: Literal["resnet", "wideresnet", "vit_b16", "resnet101", "gru"] = Field(
        "resnet", description="vit_b16 and resnet101 take local weights: `pretrained`"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.3, description="of a WideResNet")
    gru: Gru = Gru()
    epochs: Natural = Field(8, description="0: a pretrained network as it is")
    pretrained: str | None = Field(
        None, description="file or folder of local weights to start from; null = none"
    )
    new_head: bool = Field(False, description="the pretrained last layer is replaced")
    snapshots: bool = Field(False, description="keep the weights of every epoch (GOE's figure 4)")
    ood_weight: NonNegative = Field(2.5, description="beta")
    reduction: Literal["mean", "sum"] = "mean"
    phi: Literal["mlp", "linear", "increasing"] = Field(
        "mlp", description="what reads the energy; only `increasing` cannot turn it round"
    )
    start: Name | None = Field(
        None, description="the row whose trained classifier it starts from; null = random weights"
    )
    gan: Gan = Gan()
    vos: Vos = Vos()
    npos: Npos = Npos()
    outlier_exposure: OutlierExposure = OutlierExposure()

    @model_validator(mode="after")
    def _network_exists(self) -> "Detector":
        if self.network == "resnet" and self.depth not in (18, 34, 50):
            raise ValueError(f"depth must be 18, 34 or 50 for a ResNet, got {self.depth}")
        if self.network == "wideresnet" and (self.depth < 10 or self.depth % 6 != 4):
            raise ValueError(
                f"depth must be 6 n + 4 for a WideResNet, as 40 or 28, got {self.depth}"
            )
        if self.epochs == 0 and self.pretrained is None:
            raise ValueError("epochs must be at least 1 without pretrained weights, got 0")
        return self


class Metrics(Section):
    """How figures are read off the scores."""

    threshold: Literal["first", "nearest"] = Field(
        "first", description="ROC point for FPR95: first with TPR >= .95, or the nearest"
    )
