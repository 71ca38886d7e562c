"""The typed settings: every key, its range and its default. Unknown keys are refused."""

import difflib
import re
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)


class ConfigError(ValueError):
    """The configuration cannot be used; the message says which key and how to mend it."""


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _share(value: float) -> float:
    if value > 1:
        raise ValueError(f"must be in (0, 1], got {value:g}; write {value:g} % as {value / 100:g}")
    return value


def _one_placeholder(prompt: str) -> str:
    if prompt.count("{class}") != 1:
        raise ValueError("must hold {class} exactly once: the outlier vector goes there")
    return prompt


Whole = Annotated[int, BeforeValidator(_integral)]
Count = Annotated[Whole, Field(ge=1)]
Natural = Annotated[Whole, Field(ge=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(_share)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Pair = Annotated[list[str], Field(min_length=2, max_length=2)]
ScoreName = Literal["msp", "energy"]


class Section(BaseModel):
    """A part of the configuration: strict types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, validate_default=True)


class NpzDataset(Section):
    """Images [n, h, w] in an .npz file; the shipped files are named `embedded:<file>`."""

    kind: Literal["npz"]
    file: str
    train: Pair | None = Field(None, description="keys of training images and labels")
    test: Pair = Field(description="keys of test images and labels")
    classes: dict[str, Natural] | None = Field(
        None, description="class name: label in the file; other labels are left out"
    )
    train_per_class: Count | None = Field(None, description="use the first so many; null = all")
    validation_per_class: Natural = Field(200, description="held out from the end of training")


class FolderDataset(Section):
    """A folder of images: `class_name/*.png|jpg|webp`, or flat for an OOD set."""

    kind: Literal["folder"]
    path: str
    validation: Share = Field(0.1, description="share of each class held out for validation")
    test: Share = Field(0.2, description="share of each class held out for testing")


class DigitsDataset(Section):
    """scikit-learn's 8 x 8 handwritten digits, up-sampled."""

    kind: Literal["digits"]


class NoiseDataset(Section):
    """Uniform noise images."""

    kind: Literal["noise"]
    count: Count = 1600


class CorruptedDataset(Section):
    """Validation outliers made from an ID data set's validation split, never from test data."""

    kind: Literal["corrupted"]
    of: Name


class ResampledDataset(Section):
    """Control: an ID data set's test images, down-sampled to `size` and back up."""

    kind: Literal["resampled"]
    of: Name
    size: Count = 8


Dataset = Annotated[
    NpzDataset | FolderDataset | DigitsDataset | NoiseDataset | CorruptedDataset | ResampledDataset,
    Field(discriminator="kind"),
]


class Image(Section):
    """How every data set and every generated image reaches the classifier's resolution."""

    size: Count = Field(32, description="pixels a side")
    fit: Literal["pad", "resize"] = Field(
        "pad", description="pad: smaller pictures keep their pixels on a black border"
    )


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

    source: Literal["local", "train"] = "local"
    path: str = Field("embedded:generator", description="a diffusers folder, for `local`")
    train: GeneratorTraining = GeneratorTraining()


class Anchors(Section):
    """Class anchors: rows of the text encoder's token-embedding table (method: section 1)."""

    words: dict[str, str] = Field({}, description="class name: one-word alias; default the name")


class Training(Section):
    """What encoder and detector share."""

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


class OodFeatures(Section):
    """Selection and perturbation (equations 4 and 5)."""

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
    prompt: Annotated[str, AfterValidator(_one_placeholder)] = "A high-quality image of the {class}"
    decode: Literal["outliers", "anchors", "words"] = Field(
        "outliers", description="outlier vectors, the plain class anchors, or `words`"
    )
    words: list[str] = Field([], description="for `decode: words`: their own embeddings")
    scheduler: Literal["pndm", "ddim", "dpmsolver++", "unipc"] = "pndm"
    steps: Count = 20
    guidance: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 7.5


class Detector(Training):
    """Equation 7: CE + beta * OOD term, both kinds of row in one forward pass."""

    ood_weight: NonNegative = Field(2.5, description="beta")
    reduction: Literal["mean", "sum"] = "mean"
    phi: Literal["mlp", "linear", "increasing"] = Field(
        "mlp", description="what reads the energy; only `increasing` cannot turn it round"
    )


class Metrics(Section):
    """How figures are read off the scores."""

    threshold: Literal["first", "nearest"] = Field(
        "first", description="ROC point for FPR95: first with TPR >= .95, or the nearest"
    )


class Row(Section):
    """One row of the table: a trained detector and the scores read from it.

    `set` overrides settings of the stages for this row alone, e.g. `{distances: {step_size: 1}}`.
    """

    method: Name
    variant: str = Field("", description="empty for the method as published")
    outliers: str = Field("images", description="none, images, or the name of a data set")
    scores: Annotated[list[ScoreName], Field(min_length=1)] = ["energy"]
    set: dict[str, dict[str, Any]] = {}


class Run(Section):
    """Settings that cannot change a number beyond rounding; no artifact depends on them."""

    inference_batch: Count = 250


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
    metrics: Metrics = Metrics()
    rows: Annotated[dict[Name, Row], Field(min_length=1)]
    run: Run = Run()

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
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
        read = {name for name, item in self.datasets.items() if item.kind in ("npz", "folder")}
        for name, item in self.datasets.items():
            if hasattr(item, "of") and item.of not in read:
                raise ValueError(
                    f"datasets.{name}.of must name a data set of kind npz or folder, "
                    f"got {item.of!r}"
                )
        if self.id not in read or getattr(self.datasets[self.id], "train", "folder") is None:
            raise ValueError(
                f"id must name a data set with training images, got {self.id!r}; "
                f"give datasets.{self.id}.train"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {self.seeds}")
        labels = [(row.method, row.variant) for row in self.rows.values()]
        if len(set(labels)) < len(labels):
            raise ValueError(f"rows must differ in method or variant, got {labels}")
        for name in self.rows:
            self.for_row(name)
        return self

    def for_row(self, name: str) -> "Config":
        """Return the configuration with one row's overrides applied."""
        overrides = self.rows[name].set
        changed = {}
        for section, values in overrides.items():
            allowed = ("distances", "ood_features", "images", "detector", "encoder")
            if section not in allowed:
                raise ValueError(f"rows.{name}.set.{section} must be one of {', '.join(allowed)}")
            model = getattr(self, section)
            try:
                changed[section] = type(model).model_validate(model.model_dump() | values)
            except ValidationError as error:
                raise ValueError("; ".join(explain(error, f"rows.{name}.set.{section}"))) from None
        return self.model_copy(update=changed)


STAGES_WITH_SETTINGS = tuple(Config.model_fields)


def closest(word: str, known) -> str:
    """Return a hint: the nearest known name, else all of them."""
    near = difflib.get_close_matches(str(word), sorted(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(known))}"


def _known_keys(model: type[BaseModel], location: tuple) -> set[str]:
    """Return the keys allowed where an unknown one was found."""
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None:
            continue
        kinds = [field.annotation, *get_args(field.annotation)]
        nested = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if nested:
            model = nested[0]
        elif part == "datasets" and len(location) > 2:
            members = get_args(get_args(Dataset)[0])
            by_kind = {get_args(item.model_fields["kind"].annotation)[0]: item for item in members}
            model = by_kind.get(location[2], model)
        elif part == "rows":
            model = Row
    return set(model.model_fields)


def explain(error: ValidationError, prefix: str = "") -> list[str]:
    """Return one line per problem: the key, what it must be, what it is, how to mend it."""
    lines = []
    for item in error.errors():
        location = item["loc"]
        shown = location[:2] + location[3:] if location[:1] == ("datasets",) else location
        place = ".".join([*([prefix] if prefix else []), *map(str, shown)])
        got, kind = item["input"], item["type"]
        message = item["msg"].removeprefix("Value error, ")
        message = re.sub("^(Input|String|List|Dictionary) should ", "must ", message)
        if kind == "extra_forbidden":
            known = _known_keys(Config, location[:-1]) if not prefix else set()
            hint = closest(str(location[-1]), known) if known else ""
            lines.append(f"{place} is no setting{hint}")
        elif kind == "value_error":
            lines.append(f"{place} {message}" if place else message)
        elif kind == "missing":
            lines.append(f"{place} is missing")
        else:
            line = f"{place} {message}, got {got!r}"
            if isinstance(got, str) and re.fullmatch(r"\d+(\.\d*)?e[+-]?\d+", got):
                number = repr(float(got))
                number = number if "." in number else number.replace("e", ".0e")
                line += f"; YAML reads {got} as text; write {number}"
            elif isinstance(got, str) and kind.endswith("_type"):
                line += (
                    "; a nested --config value arrives as text: "
                    "put it into a file and pass that by --configfile"
                )
            lines.append(line)
    return lines


def load(raw: dict[str, Any]) -> Config:
    """Validate a configuration as read from YAML.

    Raises ConfigError with one line per problem.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError("config: " + "\nconfig: ".join(explain(error))) from None
