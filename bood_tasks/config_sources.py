"""The settings of the outlier sources beside decoded images: a GAN and a language model. Used by
config."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bood_tasks.config_fields import Count, Natural, NonNegative, Overrides, Positive, Section

Dtype = Literal["float32", "float16", "bfloat16"]
GENERATED = ("images", "gan", "texts")  # the kinds of source that are made here


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


class GanImages(Section):
    """Pictures of a generator run outside its training range (GOE). Item i has class i mod v."""

    scale: NonNegative = Field(50.0, description="of the latents; 1 is the training range")
    meaning: Literal["std", "variance"] = Field(
        "std", description="of `scale`; the paper prints variance, its code took a deviation"
    )
    count: Count = Field(1600, description="pictures in all; the paper's 50,000")
    shard: Count = Field(1000, description="pictures in one shard")
    dtype: Dtype = "float32"
    saved_size: Count | None = Field(None, description="pixels kept; null = as generated")
    kernel: Literal["bilinear", "bicubic", "area"] = "bilinear"


class Vocabulary(Section):
    """The words that text classifier and language model know, from the ID training texts."""

    size: Annotated[int, Field(ge=4)] = 8000
    min_count: Count = 2


class Tokens(Section):
    """How texts reach the classifier: cut to one length, since length alone tells sets apart."""

    words: Count = Field(8, description="words kept of a text")
    min_words: Count = Field(8, description="shorter texts are left out; words = no padding")


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


class Texts(Section):
    """Texts sampled from the language model at a temperature (GOE)."""

    temperature: Positive = Field(2.0, description="T; 1 is the training range")
    count: Count = Field(5000, description="texts in all; the paper's 100,000 words")
    shard: Count = Field(5000, description="texts in one shard")
    dtype: Dtype = "float32"


class Source(Section):
    """A further outlier source: a kind with settings of its own."""

    of: Literal[GENERATED]
    set: Overrides = Field({}, description="as a row's, on top of the row's")


Outliers = Literal["none"] | dict[str, Positive] | str
