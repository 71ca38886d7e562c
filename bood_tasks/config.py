"""The typed settings: every key, its range and its default. Unknown keys are refused."""

from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from bood_tasks.config_ablations import Ablations, study
from bood_tasks.config_datasets import READ_KINDS, Dataset, has_training, is_text
from bood_tasks.config_fields import (
    Count,
    Name,
    Natural,
    Overrides,
    ScoreName,
    Section,
    merged,
)
from bood_tasks.config_methods import OwnMethod, per_class, require_full_queue
from bood_tasks.config_scoring import Scoring
from bood_tasks.config_sources import (
    GENERATED,
    GanGenerator,
    GanImages,
    LanguageModel,
    Outliers,
    Source,
    Texts,
    Tokens,
    Vocabulary,
)
from bood_tasks.config_stages import (
    Anchors,
    Detector,
    Distances,
    Encoder,
    Generator,
    Image,
    Images,
    Metrics,
    OodFeatures,
)
from bood_tasks.explain import closest, explain
from bood_tasks.registry import METHODS, NEEDS_OUTLIERS, PACKAGED, SCORES, MethodEntry, fits

OVERRIDDEN = (  # sections that a row may change
    "distances", "ood_features", "images", "gan_generator", "gan_images", "language_model", "texts",
    "detector", "encoder", "scoring",
)  # fmt: skip
OF_PICTURES = ("id", "test", "validation", "control", "rows", "ablations", "text")
TEXT_METHODS = ("cross_entropy", "outlier_exposure", "energy_regulariser", "vos")


class ConfigError(ValueError):
    """The configuration cannot be used; the message says which key and how to mend it."""


class Row(Section):
    """One row of the table: a trained detector and the scores read from it.

    `set` overrides settings of the stages for this row alone, e.g. `{distances: {step_size: 1}}`.
    """

    method: Name = Field(description="of the registry, or one of `methods`")
    variant: str = Field("", description="empty for the method as published")
    outliers: Outliers | None = Field(
        None,
        description="none, or one or more of images, gan, texts, a data set and `sources`: a name, "
        "or {name: share of the outliers shown}; null = the method's",
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
    gan_generator: GanGenerator = GanGenerator()
    gan_images: GanImages = GanImages()
    vocabulary: Vocabulary = Vocabulary()
    tokens: Tokens = Tokens()
    language_model: LanguageModel = LanguageModel()
    texts: Texts = Texts()
    sources: dict[Name, Source] = Field({}, description="further outlier sources")
    detector: Detector = Detector()
    scoring: Scoring = Scoring()
    metrics: Metrics = Metrics()
    methods: dict[Name, OwnMethod] = Field({}, description="methods of one's own")
    rows: Annotated[dict[Name, Row], Field(min_length=1)]
    ablations: Ablations | None = Field(None, description="variants of one row; null = none")
    text: dict[str, Any] | None = Field(
        None,
        description="the same for texts in the same run: id, test, rows and whatever else differs",
    )
    run: Run = Run()
    _of_texts: "Config | None" = PrivateAttr(None)

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

    def of_texts(self) -> "Config | None":
        """Return the configuration of the texts, if there is one."""
        return self._of_texts

    def kind_of(self, source: str) -> str:
        """Return what an outlier source is: images, gan, texts, or the name of a data set."""
        return self.sources[source].of if source in self.sources else source

    @model_validator(mode="after")
    def _fits_together(self) -> "Config":
        self._check_names()
        self._check_datasets()
        for name in self.rows:
            self._check_scores(name, self.method(name))
            self.check_row(name)
        if self.ablations:
            study(self)
        if self.text is not None:
            self._of_texts = self._with_texts(self.text)
        return self

    def _with_texts(self, given: dict[str, Any]) -> "Config":
        """Return this configuration with the texts' own settings in place of the pictures'."""
        shared, name = self.model_dump(exclude=set(OF_PICTURES)), given.get("id")
        named = isinstance(name, str) and name in self.datasets
        if named and not is_text(self.datasets[name]):
            raise ValueError(f"text.id must name texts, got {name!r}, which holds pictures")
        try:
            return Config.model_validate(merged(shared, given))
        except ValidationError as error:
            raise ValueError("; ".join(explain(error, Config, "text"))) from None

    def _check_names(self) -> None:
        """Raise ValueError for names that mean nothing or two things; settle rows' defaults."""
        taken = sorted(set(self.methods) & set(METHODS))
        if taken:
            raise ValueError(f"methods.{taken[0]} must have another name: the registry has it")
        for place in ("datasets", "sources"):
            for name in {*GENERATED, "none"} & set(getattr(self, place)):
                raise ValueError(f"{place}.{name} must have another name: it is an outlier source")
        known = set(self.datasets)
        for name in set(self.sources) & known:
            raise ValueError(f"sources.{name} must have another name: a data set has it")
        for name, row in self.rows.items():
            if row.method not in METHODS and row.method not in self.methods:
                hint = closest(row.method, {*METHODS, *self.methods})
                raise ValueError(
                    f"rows.{name}.method must be one of the registry or of `methods`, "
                    f"got {row.method!r}{hint}"
                )
            entry = self.method(name)
            given = entry.outliers if row.outliers is None else row.outliers
            if isinstance(given, str):
                given = {} if given == "none" else {given: 1.0}
            row.outliers = given
            row.scores = list(entry.scores) if row.scores is None else row.scores
            sources = {*GENERATED, *self.sources, *known}
            for source in set(given) - sources:
                raise ValueError(
                    f"rows.{name}.outliers must name a data set or an outlier source, got "
                    f"{source!r}{closest(source, sources)}"
                )
        used = {"id": [self.id], "test": self.test, "validation": self.validation}
        used |= {"control": self.control}
        used |= {
            f"datasets.{name}.of": [item.of] for name, item in self.datasets.items()
            if hasattr(item, "of")
        }  # fmt: skip
        for place, names in used.items():
            for name in names:
                if name not in known:
                    raise ValueError(
                        f"{place} must name a data set, got {name!r}{closest(name, known)}"
                    )
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {self.seeds}")
        labels = [(row.method, row.variant) for row in self.rows.values()]
        if len(set(labels)) < len(labels):
            raise ValueError(f"rows must differ in method or variant, got {labels}")

    def _check_datasets(self) -> None:
        """Raise ValueError for data sets that cannot serve where they are named."""
        read = {name for name, item in self.datasets.items() if item.kind in READ_KINDS}
        for name, item in self.datasets.items():
            if hasattr(item, "of") and item.of not in read:
                raise ValueError(
                    f"datasets.{name}.of must name a data set read from files, got {item.of!r}"
                )
        if not has_training(self.datasets[self.id]):
            raise ValueError(
                f"id must name a data set with training data, got {self.id!r}; "
                f"give datasets.{self.id}.train, or classes for texts"
            )
        if self.validation and getattr(self.datasets[self.id], "validation_per_class", 1) == 0:
            raise ValueError(
                f"validation must be empty while datasets.{self.id}.validation_per_class is 0: "
                f"{', '.join(self.validation)} would have no ID pictures beside them; hold some out"
            )
        texts = is_text(self.datasets[self.id])
        named = {"test": self.test, "validation": self.validation, "control": self.control}
        for name, row in self.rows.items():
            named[f"rows.{name}.outliers"] = [self.kind_of(source) for source in row.outliers]
        for place, names in named.items():
            for name in names:
                holds = name == "texts" if name in GENERATED else is_text(self.datasets[name])
                if holds != texts:
                    words = ("texts", "pictures")[:: 1 if texts else -1]
                    raise ValueError(
                        f"{place} must name {words[0]}, as id = {self.id} holds, got {name!r}, "
                        f"which holds {words[1]}"
                    )

    def _check_scores(self, name: str, entry: MethodEntry) -> None:
        """Raise ValueError for scores that the row's method cannot have, or outliers it needs."""
        row, texts = self.rows[name], is_text(self.datasets[self.id])
        if entry.module in NEEDS_OUTLIERS and not row.outliers:
            raise ValueError(
                f"rows.{name}.outliers must name outliers for {entry.title}, got 'none'; "
                "write images, gan, or the name of a data set"
            )
        if entry.module in PACKAGED and entry.outliers == "none" and row.outliers:
            raise ValueError(
                f"rows.{name}.outliers must be none, got {', '.join(row.outliers)}: "
                f"{entry.title} takes none"
            )
        if texts and entry.module in PACKAGED and entry.module not in TEXT_METHODS:
            raise ValueError(f"rows.{name}.method must work on texts, got {row.method!r}")
        for score in row.scores:
            why = fits(entry.module, score)
            if texts and SCORES[score].gradients:
                why = "it moves pictures along a gradient"
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
        for source in self.rows[name].outliers:
            self.for_source(name, source)
        texts = is_text(self.datasets[self.id])
        if (found.detector.network == "gru") != texts:
            raise ValueError(
                f"detector.network must be gru for texts and only for them, got "
                f"{found.detector.network} for id = {self.id}"
            )
        if found.detector.start and found.detector.pretrained:
            raise ValueError(
                f"detector.start and detector.pretrained must not both be given, got both for row "
                f"{name}; a row starts from another row or from a file"
            )
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
        return self._changed(overrides, f"rows.{name}.set")

    def for_source(self, row: str, source: str) -> "Config":
        """Return the configuration that one outlier source of a row is made by."""
        own = self.for_row(row)
        if source not in self.sources:
            return own
        return own._changed(self.sources[source].set, f"sources.{source}.set")

    def _changed(self, overrides: Overrides, place: str) -> "Config":
        changed = {}
        for section, values in overrides.items():
            if section not in OVERRIDDEN:
                raise ValueError(f"{place}.{section} must be one of {', '.join(OVERRIDDEN)}")
            model = getattr(self, section)
            try:
                changed[section] = type(model).model_validate(merged(model.model_dump(), values))
            except ValidationError as error:
                lines = explain(error, type(model), f"{place}.{section}")
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
