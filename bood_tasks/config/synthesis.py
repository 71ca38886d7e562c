"""The settings of anchors, encoder, distances, outlier features, images and texts."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bood_tasks.catalogue.samplers import SAMPLERS
from bood_tasks.config.fields import (
    Count,
    Natural,
    NonNegative,
    Overrides,
    Positive,
    Prompt,
    Section,
    Share,
)
from bood_tasks.config.training import Training

Dtype = Literal["float32", "float16", "bfloat16"]
GENERATED = ("images", "gan", "texts")  # the kinds of source that are made here
Outliers = Literal["none"] | dict[str, Positive] | str


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


class Anchors(Section):
    """Class anchors: rows of the text encoder's token-embedding table (method: section 1)."""

    aliases: Literal["none", "cifar100", "imagenet100"] = Field(
        "none", description="shipped one-word aliases of a data set's class names"
    )
    words: dict[str, str] = Field({}, description="class name: one-word alias; default the name")


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

    sampler: Literal[tuple(SAMPLERS)] = Field(
        "bood", description="how outlier vectors are made from the training features"
    )
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
