"""The settings of anchors, encoder, distances, outlier features, images and texts."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bood_tasks.catalogue.samplers import SAMPLERS
from bood_tasks.config.fields import (
    AutoCount,
    AutoShare,
    Count,
    FoundPositive,
    Natural,
    NonNegative,
    Overrides,
    Part,
    Positive,
    Prompt,
    Section,
    Share,
)
from bood_tasks.config.samplers import Chains, Shell
from bood_tasks.config.training import Training
from bood_tasks.networks.pipelines import SCHEDULERS

Dtype = Literal["float32", "float16", "bfloat16"]
GENERATED = ("images", "gan", "texts")  # the kinds of source that are made here
Outliers = Literal["none"] | dict[str, Positive] | str


class GanImages(Section):
    """Pictures of the GAN, run outside its training range (GOE). Picture i has class i mod the
    number of classes."""

    scale: NonNegative = Field(
        50.0,
        description="Scale of the latent vectors (GOE's sigma); 1 = the range of the training.",
    )
    meaning: Literal["std", "variance"] = Field(
        "std",
        description="Whether `scale` is the latents' standard deviation, as in GOE's code, or "
        "their variance, as GOE prints.",
    )
    statistics: Literal["stored", "standing"] = Field(
        "stored",
        description="Means and variances by which the generator normalises: stored = those of its "
        "training, standing = those of its own pictures at this scale, over 16 batches of 256, as "
        "BigGAN's sampling script has them.",
    )
    count: Count = Field(1600, description="Number of pictures; GOE has 50,000.")
    shard: Count = Field(1000, description="Number of pictures per shard: what one job makes.")
    dtype: Dtype = Field("float32", description="Number format in which the generator runs.")
    saved_size: Count | None = Field(
        None, description="Pixels per side of the pictures kept; null = as generated."
    )
    kernel: Literal["bilinear", "bicubic", "area"] = Field(
        "bilinear", description="Interpolation of the resize to `saved_size`, antialiased."
    )


class Texts(Section):
    """Texts sampled from the language model at a temperature (GOE)."""

    temperature: Positive = Field(
        2.0, description="Temperature T at which words are sampled; 1 = the range of the training."
    )
    count: Count = Field(5000, description="Number of texts; GOE has 100,000 words.")
    words: Count | None = Field(
        None, description="Words of each text; null = as many as `tokens.words`. GOE has 20."
    )
    shard: Count = Field(5000, description="Number of texts per shard: what one job makes.")
    dtype: Dtype = Field("float32", description="Number format in which the language model runs.")


class Source(Section):
    """A further outlier source: one of the kinds, with settings of its own."""

    of: Literal[GENERATED] = Field(
        description="Kind of the source: decoded outlier vectors, pictures of the GAN, or texts."
    )
    set: Overrides = Field(
        {},
        description="Overrides {section: {setting: value}} for this source, on top of the row's.",
    )


class Anchors(Section):
    """Class anchors: rows of the text encoder's table of token embeddings."""

    aliases: Literal["none", "cifar100", "imagenet100"] = Field(
        "none", description="Shipped one-word aliases of a data set's class names."
    )
    words: dict[str, str] = Field(
        {},
        description="Class name: its one-word alias; a class that is not listed is named as it is.",
    )


class Encoder(Training):
    """Training of the encoder by equation 2: cross-entropy over cosines to the class anchors."""

    depth: Literal[18, 34, 50] = Field(18, description="Number of layers of the ResNet.")
    temperature: Positive = Field(
        0.1, description="Temperature t that divides the cosines in equation 2."
    )


class Distances(Section):
    """Distance of each feature to the decision boundary: sign-gradient steps of equation 3,
    counted."""

    step_size: FoundPositive = Field(
        0.015,
        description="Size of one sign-gradient step in every feature dimension (the paper's "
        "alpha); auto = that at which the median feature crosses after `median_steps` steps, found "
        "by bisection on 1,000 training features.",
    )
    median_steps: Count = Field(
        30,
        description="Number of steps of the median feature where `step_size` is auto; below "
        "`max_steps`.",
    )
    max_steps: Count = Field(100, description="Largest number of steps counted (the paper's K).")
    feature_space: Literal["unit", "raw"] = Field(
        "unit",
        description="Features that are stepped: scaled to norm 1, or as the encoder gives them.",
    )
    rows: Literal["all", "nearest"] = Field(
        "all",
        description="Features that are stepped: all, or only the nearest, those that may be "
        "selected; the selection is the same.",
    )

    @model_validator(mode="after")
    def _median_is_counted(self) -> "Distances":
        if self.step_size == "auto" and self.median_steps >= self.max_steps:
            raise ValueError(
                f"median_steps must be below max_steps = {self.max_steps}, got "
                f"{self.median_steps}: features that take more steps are not told apart"
            )
        return self


class DreamOod(Section):
    """DreamOOD's sampler (Du et al. 2023): Gaussian steps from a class's outermost features."""

    neighbours: AutoCount = Field(
        300,
        description="The k of the distance to the k-th neighbour, by which the outermost "
        "features are found; auto = a quarter of the smallest class's training data, at most 300.",
    )
    boundary: AutoCount = Field(
        50,
        description="Number of outermost features of each class; DreamOOD has 200 on ImageNet-100; "
        "auto = a quarter of the smallest class's training data, at most 50.",
    )
    candidates: Count = Field(
        1500, description="Number of Gaussian candidates for each of these features."
    )
    sigma: Positive = Field(
        0.07, description="Standard deviation of the candidates; DreamOOD has 0.03 on ImageNet-100."
    )
    vectors: Count = Field(1000, description="Number of outlier vectors of each class.")
    reference_bug: bool = Field(
        False,
        description="Whether candidates are picked as the published code does: in effect at "
        "random.",
    )


class GcosShell(Shell):
    """GCOS's shell (Karzanov & Detyniecki 2026): features moved along directions of little
    variance until their Mahalanobis distance lies between two quantiles."""

    vectors: Count = Field(1000, description="Number of outlier vectors of each class.")


class Ncis(Section):
    """NCIS's sampler (Doorenbos et al. 2024): the tails of each class's Gaussian behind a
    volume-preserving network, which learns where the class lies."""

    vectors: Count = Field(1000, description="Number of outlier vectors of each class.")
    variance: Part = Field(
        0.95,
        description="Share of a class's variance that the dimensions hold which the network keeps, "
        "in (0, 1); in the others the class is to be 0.",
    )
    layers: Count = Field(4, description="Number of pairs of a rotation and a coupling.")
    epochs: Count = Field(200, description="Passes over the training features.")
    batch_size: Count = Field(64, description="Features per step.")
    lr: Positive = Field(
        1e-4, description="Learning rate of Adam at the start, a tenth at the end."
    )
    candidates: Count = Field(3330, description="Number of samples drawn together.")
    kept: Count = Field(
        10, description="Number of these that become outliers, the least likely ones."
    )


class HamosChains(Chains):
    """HamOS's sampler (Li & Zhang 2025): Markov chains on the unit sphere that start between two
    classes and go where both are far."""

    vectors: Count = Field(1000, description="Number of outlier vectors of each class.")
    rounds: Count = Field(
        2, description="Number of rounds after which a chain begins anew; each gives a vector."
    )


class OodFeatures(Section):
    """Outlier vectors: features selected and perturbed by equations 4 and 5, or drawn by DreamOOD's
    sampler."""

    sampler: Literal[tuple(SAMPLERS)] = Field(
        "bood",
        description="Sampler of the outlier vectors: BOOD's, DreamOOD's, GCOS's shell, the tails "
        "of NCIS's network, or HamOS's chains.",
    )
    dreamood: DreamOod = DreamOod()
    gcos: GcosShell = GcosShell()
    ncis: Ncis = Ncis()
    hamos: HamosChains = HamosChains()
    select: Literal["boundary", "random"] = Field(
        "boundary",
        description="Features that are perturbed: those nearest to the decision boundary, or "
        "random ones.",
    )
    rate: AutoShare = Field(
        0.05,
        description="Share of the features that are selected (the paper's r), in (0, 1]; auto = "
        "0.05, or 10 of the smallest class.",
    )
    scope: Literal["per_class", "global"] = Field(
        "per_class",
        description="Whether the share is taken of each class or of all features together.",
    )
    misclassified: Literal["keep", "drop"] = Field(
        "drop", description="Whether features that the encoder classifies wrongly may be selected."
    )
    uncrossed: Literal["skip", "keep"] = Field(
        "skip",
        description="What becomes of features that `distances.max_steps` steps leave in their "
        "class: skip = the next in rank is selected, keep = they have the distance max_steps and "
        "are moved by as many steps.",
    )
    perturb: Literal["adversarial", "gaussian", "centroid", "none"] = Field(
        "adversarial",
        description="How a selected feature is moved: across the boundary, by Gaussian noise, "
        "away from its class's centre, or not at all.",
    )
    extra_steps: Natural = Field(
        2, description="Number of steps after the boundary is crossed (the paper's c)."
    )
    overshoot: Share | None = Field(
        None,
        description="How far beyond the boundary outliers lie, in place of `extra_steps`: at this "
        "quantile, in (0, 1], of the margins by which their class's training features lie inside, "
        "exactly, by a last partial step; null = `extra_steps`.",
    )
    rescale: Literal["anchor", "anchor_no_renorm", "none"] = Field(
        "anchor",
        description="Length of an outlier vector: anchor = it gets the length of its class's "
        "anchor, anchor_no_renorm = it is multiplied by that length, none = it "
        "keeps its own.",
    )
    sigma: Positive = Field(
        0.03, description="Standard deviation per dimension where `perturb` is gaussian."
    )
    shift: Positive = Field(
        0.5,
        description="Length of the step away from the centre where `perturb` is centroid, in "
        "units of the feature's norm.",
    )


class Images(Section):
    """Pictures decoded from outlier vectors by the text-to-image generator (equation 6)."""

    per_class: AutoCount = Field(
        200,
        description="Number of pictures of each class; auto = the mean of a class's training data, "
        "25 to 100.",
    )
    shard: Count = Field(
        100, description="Number of pictures of every class per shard: what one job makes."
    )
    prompt: Prompt = Field(
        "A high-quality image of the {class}",
        description="Text given to the generator; {class} is where the outlier vector goes.",
    )
    decode: Literal["outliers", "anchors", "words"] = Field(
        "outliers",
        description="What stands at {class} in the prompt: outlier vectors, the class "
        "anchors, or the embeddings of `words`.",
    )
    words: list[str] = Field(
        [], description="Words whose embeddings are decoded where `decode` is words."
    )
    scheduler: Literal[tuple(SCHEDULERS)] = Field(
        "pndm",
        description="Sampler of the diffusion; lcm is that of latent consistency models and "
        "LCM-LoRAs, flow_euler that of flow models (Stable Diffusion 3).",
    )
    steps: Count = Field(20, description="Number of denoising steps.")
    guidance: Annotated[float, Field(ge=1, allow_inf_nan=False)] = Field(
        7.5,
        description="Scale of the classifier-free guidance, at least 1; 1 = none, as SD-Turbo "
        "and LCM-LoRAs want it. A distilled LCM reads it as an input.",
    )
    dtype: Literal["float32", "float16", "bfloat16"] = Field(
        "float32", description="Number format in which the generator runs."
    )
    latent_scale: NonNegative = Field(
        1.0,
        description="Scale of the initial noise; above 1 the generator runs outside the range "
        "of its training (GOE).",
    )
    stop_after: Count | None = Field(
        None,
        description="Number of denoising steps after which the latents are decoded; null = "
        "after all.",
    )
    resolution: Count | None = Field(
        None, description="Pixels per side of the pictures generated; null = the generator's own."
    )
    saved_size: Count | None = Field(
        None, description="Pixels per side of the pictures kept; null = as generated."
    )
    kernel: Literal["bilinear", "bicubic", "area"] = Field(
        "bilinear", description="Interpolation of the resize to `saved_size`, antialiased."
    )

    @model_validator(mode="after")
    def _stops_within(self) -> "Images":
        if self.stop_after is not None and self.stop_after > self.steps:
            raise ValueError(
                f"stop_after must be at most steps = {self.steps}, got {self.stop_after}"
            )
        return self
