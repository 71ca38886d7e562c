"""The typed settings: every key, its range and its default. Unknown keys are refused."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from bood_tasks.config_ablations import Ablations, study
from bood_tasks.config_datasets import READ_KINDS, Dataset, has_training
from bood_tasks.config_fields import (
    Count,
    Name,
    Natural,
    NonNegative,
    Overrides,
    Positive,
    Prompt,
    Revision,
    ScoreName,
    Section,
    Share,
    merged,
)
from bood_tasks.config_methods import Gan, Npos, OwnMethod, Vos, per_class, require_full_queue
from bood_tasks.config_scoring import Scoring
from bood_tasks.explain import closest, explain
from bood_tasks.registry import METHODS, PACKAGED, SCORES, MethodEntry, fits


class ConfigError(ValueError):
    """The configuration cannot be used; the message says which key and how to mend it."""


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

    depth: Literal[18, 34, 50] = 18
    width: Count = Field(16, description="channels of the first stage; the papers' family has 64")
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


class Encoder(Training):
    """Equation 2: cross-entropy over cosines to the anchors, divided by t."""

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
    resolution: Count | None = Field(
        None, description="pixels a side that are generated; null = what the pipeline was made for"
    )
    saved_size: Count | None = Field(None, description="pixels kept; null = as generated")
    kernel: Literal["bilinear", "bicubic", "area"] = Field(
        "bilinear", description="of the resize to saved_size, antialiased"
    )


class Detector(Training):
    """How the rows' classifiers are trained; `ood_weight`, `reduction` and `phi` are equation 7's:
    CE + beta * OOD term, both kinds of row in one forward pass."""

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


class Metrics(Section):
    """How figures are read off the scores."""

    threshold: Literal["first", "nearest"] = Field(
        "first", description="ROC point for FPR95: first with TPR >= .95, or the nearest"
    )


class Row(Section):
    """One row of the table: a trained detector and the scores read from it.

    `set` overrides settings of the stages for this row alone, e.g. `{distances: {step_size: 1}}`.
    """

    method: Name = Field(description="of the registry, or one of `methods`")
    variant: str = Field("", description="empty for the method as published")
    outliers: str | None = Field(
        None, description="none, images, or the name of a data set; null = the method's"
    )
    scores: Annotated[list[ScoreName], Field(min_length=1)] | None = Field(
        None, description="null = the method's"
    )
    set: Overrides = {}


class Run(Section):
    """Settings that cannot change a number beyond rounding; no artifact depends on them."""

    inference_batch: Count = Field(250, description="pictures a classifier sees at once")
    image_batch: Literal["auto"] | Count = Field(
        "auto", description="pictures generated at once; auto = what the device's memory allows"
    )
    compile: Literal["auto"] | bool = Field(
        "auto", description="torch.compile for generation and training; auto = on GPUs"
    )
    attention: Literal["sdpa", "sliced"] = Field("sdpa", description="sliced: slow, little memory")
    vae_slicing: bool = Field(False, description="decode latents one by one: little memory")
    pack: Count = Field(
        1, description="image shards that one job makes at most: those after its own, not yet begun"
    )
    workers: Count = Field(4, description="threads or processes that read and write beside a job")
    data: str = Field("data", description="folder of the published data sets")
    download: bool = Field(False, description="fetch missing published data sets where possible")


class Config(Section):
    """The whole configuration."""

    seeds: Annotated[list[Natural], Field(min_length=1)] = [0]
    id: Name
    test: Annotated[list[Name], Field(min_length=1)]
    validation: list[Name] = []
    control: list[Name] = []
    datasets: dict[Name, Dataset]
    image: Image = Image()
    generator: Generator = Generator()
    anchors: Anchors = Anchors()
    encoder: Encoder = Encoder()
    distances: Distances = Distances()
    ood_features: OodFeatures = OodFeatures()
    images: Images = Images()
    detector: Detector = Detector()
    scoring: Scoring = Scoring()
    metrics: Metrics = Metrics()
    methods: dict[Name, OwnMethod] = Field({}, description="methods of one's own")
    rows: Annotated[dict[Name, Row], Field(min_length=1)]
    ablations: Ablations | None = Field(None, description="variants of one row; null = none")
    run: Run = Run()

    @field_validator("rows", "datasets", mode="before")
    @classmethod
    def _null_removes(cls, given: Any) -> Any:
        """Let an overlay take a row or a data set of the default away."""
        if not isinstance(given, dict):
            return given
        return {name: item for name, item in given.items() if item is not None}

    def method(self, name: str) -> MethodEntry:
        """Return a row's method, of the registry or one of one's own."""
        method = self.rows[name].method
        if method not in self.methods:
            return METHODS[method]
        own = self.methods[method]
        return MethodEntry(method, "", method, own.outliers, tuple(own.scores))

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        taken = sorted(set(self.methods) & set(METHODS))
        if taken:
            raise ValueError(f"methods.{taken[0]} must have another name: the registry has it")
        for name, row in self.rows.items():
            if row.method not in METHODS and row.method not in self.methods:
                hint = closest(row.method, {*METHODS, *self.methods})
                raise ValueError(
                    f"rows.{name}.method must be one of the registry or of `methods`, "
                    f"got {row.method!r}{hint}"
                )
            entry = self.method(name)
            row.outliers = entry.outliers if row.outliers is None else row.outliers
            row.scores = list(entry.scores) if row.scores is None else row.scores
            self._check_scores(name, entry)
        known = set(self.datasets)
        used = {"id": [self.id], "test": self.test, "validation": self.validation}
        used |= {"control": self.control}
        used |= {
            f"datasets.{name}.of": [item.of] for name, item in self.datasets.items()
            if hasattr(item, "of")
        }  # fmt: skip
        used |= {
            f"rows.{name}.outliers": [row.outliers]
            for name, row in self.rows.items()
            if row.outliers not in ("none", "images")
        }
        for place, names in used.items():
            for name in names:
                if name not in known:
                    raise ValueError(
                        f"{place} must name a data set, got {name!r}{closest(name, known)}"
                    )
        read = {name for name, item in self.datasets.items() if item.kind in READ_KINDS}
        for name, item in self.datasets.items():
            if hasattr(item, "of") and item.of not in read:
                raise ValueError(
                    f"datasets.{name}.of must name a data set read from files, got {item.of!r}"
                )
        if not has_training(self.datasets[self.id]):
            raise ValueError(
                f"id must name a data set with training images, got {self.id!r}; "
                f"give datasets.{self.id}.train"
            )
        if self.validation and getattr(self.datasets[self.id], "validation_per_class", 1) == 0:
            raise ValueError(
                f"validation must be empty while datasets.{self.id}.validation_per_class is 0: "
                f"{', '.join(self.validation)} would have no ID pictures beside them; hold some out"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {self.seeds}")
        labels = [(row.method, row.variant) for row in self.rows.values()]
        if len(set(labels)) < len(labels):
            raise ValueError(f"rows must differ in method or variant, got {labels}")
        for name in self.rows:
            self.check_row(name)
        if self.ablations:
            study(self)
        return self

    def _check_scores(self, name: str, entry: MethodEntry) -> None:
        """Raise ValueError for scores that the row's method cannot have, or outliers it needs."""
        row = self.rows[name]
        if entry.module == "energy_regulariser" and row.outliers == "none":
            raise ValueError(
                f"rows.{name}.outliers must name outliers for {entry.title}, got 'none'; "
                "write images, or the name of a data set"
            )
        if entry.module in PACKAGED and entry.outliers == "none" != row.outliers:
            raise ValueError(
                f"rows.{name}.outliers must be none, got {row.outliers!r}: {entry.title} takes none"
            )
        for score in row.scores:
            why = fits(entry.module, score)
            if why:
                raise ValueError(f"rows.{name}.scores must fit {entry.title}, got {score!r}: {why}")
            chooses = score != "odin" or len(self.scoring.odin.magnitudes) > 1
            if SCORES[score].validated and chooses and not self.validation:
                cure = "; or give scoring.odin.magnitudes one number" if score == "odin" else ""
                raise ValueError(
                    f"rows.{name}.scores: {score} is chosen on validation sets and there are none; "
                    f"name some under `validation`{cure}"
                )

    def check_row(self, name: str) -> None:
        """Raise ValueError for overrides that do not fit, or a detector that starts from none."""
        found, rows = self.for_row(name), {name}
        for section in ("encoder", "detector"):
            smaller = self.image.crop is not None and self.image.crop < self.image.size
            if getattr(found, section).augment == "resized_crop" and not smaller:
                raise ValueError(
                    f"{section}.augment: resized_crop must have an image.crop below "
                    f"image.size = {self.image.size}, got {self.image.crop}"
                )
        module, pictures = self.method(name).module, per_class(self.datasets[self.id])
        if module in ("vos", "npos") and pictures:
            own = getattr(found.detector, module)
            require_full_queue(
                own, f"detector.{module}", epochs=found.detector.epochs, pictures=pictures
            )
        while (start := found.detector.start) is not None:
            if start not in self.rows:
                raise ValueError(
                    f"detector.start must name a row, got {start!r}{closest(start, self.rows)}"
                )
            if start in rows:
                raise ValueError(
                    f"detector.start must not lead back to the same row, got {start!r} for row "
                    f"{name}; give it rows.{start}.set.detector.start: null"
                )
            rows.add(start)
            found = self.for_row(start)

    def for_row(self, name: str) -> "Config":
        """Return the configuration with one row's overrides applied."""
        overrides = merged(self.method(name).set, self.rows[name].set)
        changed = {}
        for section, values in overrides.items():
            allowed = ("distances", "ood_features", "images", "detector", "encoder", "scoring")
            if section not in allowed:
                raise ValueError(f"rows.{name}.set.{section} must be one of {', '.join(allowed)}")
            model = getattr(self, section)
            try:
                changed[section] = type(model).model_validate(merged(model.model_dump(), values))
            except ValidationError as error:
                lines = explain(error, type(model), f"rows.{name}.set.{section}")
                raise ValueError("; ".join(lines)) from None
        return self.model_copy(update=changed)


def load(raw: dict[str, Any]) -> Config:
    """Validate a configuration as read from YAML.

    Raises ConfigError with one line per problem.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("config: " + "\nconfig: ".join(explain(error, Config))) from None
