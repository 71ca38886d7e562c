"""The typed settings: every key, its range and its default. Unknown keys are refused."""

from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, model_validator

from bood_tasks.catalogue.methods import METHODS, MethodEntry
from bood_tasks.config.choice import Choice
from bood_tasks.config.datasets import (
    Dataset,
    Image,
    Tokens,
    Vocabulary,
)
from bood_tasks.config.detectors import Detector, OutlierFilter, OwnMethod
from bood_tasks.config.explain import explain
from bood_tasks.config.fields import Count, Name, Natural, Overrides, Section, merged
from bood_tasks.config.generators import GanGenerator, Generator, LanguageModel
from bood_tasks.config.reporting import Ablations, Only
from bood_tasks.config.scoring import Metrics, OwnScore, Scoring
from bood_tasks.config.synthesis import (
    Anchors,
    Distances,
    Encoder,
    GanImages,
    Images,
    OodFeatures,
    Outliers,
    Source,
    Texts,
)

OVERRIDDEN = (  # sections that a row may change
    "distances", "ood_features", "images", "gan_generator", "gan_images", "language_model", "texts",
    "detector", "encoder", "scoring", "outlier_filter",
)  # fmt: skip


class Row(Section):
    """One row of the tables: a trained detector and the scores read from it."""

    method: Name = Field(
        description="Method that trains the detector: one of the catalogue, or one of `methods`."
    )
    variant: str = Field(
        "",
        description="Label that tells rows of one method apart; empty = the method as published.",
    )
    outliers: Outliers | None = Field(
        None,
        description="Outliers shown in training: none, or images, gan, texts, a data set or "
        "one of `sources`; or {name: share of the outliers shown}; null = the "
        "method's.",
    )
    scores: Annotated[list[Name], Field(min_length=1)] | None = Field(
        None,
        description="Scores that are read from the detector: of the catalogue, or of `scores`; "
        "null = the method's.",
    )
    set: Overrides = Field(
        {}, description="Overrides {section: {setting: value}} for this row alone."
    )


class Run(Section):
    """Settings that cannot change a number beyond rounding; no artifact depends on them."""

    inference_batch: Count = Field(
        250, description="Number of pictures that a classifier sees at once."
    )
    image_batch: Literal["auto"] | Count = Field(
        "auto",
        description="Number of pictures generated at once; auto = what the device's memory allows.",
    )
    compile: Literal["auto"] | bool = Field(
        "auto",
        description="Whether generation and training use torch.compile; auto = on GPUs, where it "
        "saves more time than it takes.",
    )
    attention: Literal["sdpa", "padded", "flash", "cudnn", "efficient", "sliced"] = Field(
        "sdpa",
        description="Implementation of attention: sdpa = the kernel that torch chooses; padded = "
        "heads filled up to 64 numbers; flash, cudnn or efficient = that kernel where it can; "
        "sliced is slow and needs little memory.",
    )
    fused_projections: bool = Field(
        False,
        description="Whether attention computes queries, keys and values by one product; needs "
        "a little more memory.",
    )
    split_guidance: bool = Field(
        False,
        description="Whether guidance evaluates the rows with and without the prompt one after "
        "the other, which needs less memory.",
    )
    vae_slicing: bool = Field(
        False, description="Whether latents are decoded one by one, which needs little memory."
    )
    pack: Count = Field(
        1,
        description="Largest number of shards that one job makes: its own, and those after it "
        "that no job has begun.",
    )
    workers: Count = Field(4, description="Threads or processes that read and write beside a job.")
    data: str = Field("data", description="Folder of the published data sets.")
    download: bool = Field(
        False, description="Whether missing published data sets are fetched where that is possible."
    )
    container: str | None = Field(
        None,
        description="Image that jobs run in with `--software-deployment-method apptainer`: a file "
        "made from envs/apptainer.def, or an address (docker://...); null = none.",
    )


class Config(Section):
    """The whole configuration."""

    seeds: Annotated[list[Natural], Field(min_length=1)] = Field(
        [0], description="Seeds of the runs; the tables show their mean."
    )
    id: Name = Field(
        description="Name of the in-distribution data set: what the classifiers are trained on."
    )
    test: Annotated[list[Name], Field(min_length=1)] = Field(
        description="Names of the OOD test sets: the columns of the tables."
    )
    validation: list[Name] = Field(
        [],
        description="Names of the OOD validation sets, on which settings may be chosen; [] = none.",
    )
    control: list[Name] = Field(
        [],
        description="Names of control sets, made of ID pictures, which a detector should "
        "accept; [] = none.",
    )
    datasets: dict[Name, Dataset] = Field(
        description="Name: data set. What `id`, `test`, `validation`, `control` and rows can name."
    )
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
    sources: dict[Name, Source] = Field(
        {},
        description="Name: further outlier source. What rows can name beside images, gan, "
        "texts and data sets.",
    )
    outlier_filter: OutlierFilter = OutlierFilter()
    detector: Detector = Detector()
    scoring: Scoring = Scoring()
    metrics: Metrics = Metrics()
    methods: dict[Name, OwnMethod] = Field(
        {},
        description="Name: training method of your own. What rows can name beside the catalogue's.",
    )
    scores: dict[Name, OwnScore] = Field(
        {},
        description="Name: score of your own. What rows can name beside the catalogue's; tables "
        "show it by this name.",
    )
    rows: Annotated[dict[Name, Row], Field(min_length=1)] = Field(
        description="Name: row of the tables; if `only.rows` is a list, only those that it names."
    )
    ablations: Ablations | None = Field(
        None, description="Variants and sweeps of one row; null = none."
    )
    choice: Choice | None = Field(
        None,
        description="Settings of a row that are chosen on validation outliers alone "
        "(`snakemake choice`); null = none.",
    )
    only: Only = Only()
    text: dict[str, Any] | None = Field(
        None,
        description="The same run for texts: id, test, rows, and whatever else differs from "
        "the pictures; null = none.",
    )
    run: Run = Run()
    _of_texts: "Config | None" = PrivateAttr(None)
    _chosen: dict[str, str] = PrivateAttr({})

    def method(self, name: str) -> MethodEntry:
        """Return a row's method, of the catalogue or of `methods`."""
        method = self.rows[name].method
        if method not in self.methods:
            return METHODS[method]
        own = self.methods[method]
        return MethodEntry(method, "", method, own.outliers, tuple(own.scores), texts=True)

    def of_texts(self) -> "Config | None":
        """Return the configuration of the texts, if there is one."""
        return self._of_texts

    def set_texts(self, texts: "Config") -> None:
        """Keep the configuration of the texts; `load` makes it from `text`."""
        self._of_texts = texts

    def reasons(self) -> list[str]:
        """Return a line for each reason by which settings that were `auto` got their values."""
        by_reason: dict[str, list[str]] = {}
        for setting, why in self._chosen.items():
            by_reason.setdefault(why, []).append(setting)
        return [f"{why}: {', '.join(settings)}" for why, settings in by_reason.items()]

    def set_chosen(self, chosen: dict[str, str]) -> None:
        """Keep {setting = value: why} of the settings that were `auto`; `load` does it."""
        self._chosen = chosen

    def kind_of(self, source: str) -> str:
        """Return what an outlier source is: images, gan, texts, or the name of a data set."""
        return self.sources[source].of if source in self.sources else source

    @model_validator(mode="after")
    def _rows_take_their_methods_defaults(self) -> "Config":
        for name, row in self.rows.items():
            if row.method not in METHODS and row.method not in self.methods:
                continue  # refused by the checks, which know what else could be meant
            entry = self.method(name)
            outliers = entry.outliers if row.outliers is None else row.outliers
            if isinstance(outliers, str):
                outliers = {} if outliers == "none" else {outliers: 1.0}
            row.outliers = outliers
            row.scores = list(entry.scores) if row.scores is None else row.scores
        return self

    def for_row(self, name: str) -> "Config":
        """Return the configuration with one row's overrides applied."""
        overrides = merged(self.method(name).set, self.rows[name].set)
        return self._changed(overrides, f"rows.{name}.set")

    def for_source(self, row: str, source: str) -> "Config":
        """Return the configuration that one outlier source of a row is made by."""
        config = self.for_row(row)
        if source not in self.sources:
            return config
        return config._changed(self.sources[source].set, f"sources.{source}.set")

    def _changed(self, overrides: Overrides, setting: str) -> "Config":
        changed = {}
        for section, values in overrides.items():
            if section not in OVERRIDDEN:
                raise ValueError(f"{setting}.{section} must be one of {', '.join(OVERRIDDEN)}")
            model = getattr(self, section)
            try:
                changed[section] = type(model).model_validate(merged(model.model_dump(), values))
            except ValidationError as error:
                lines = explain(error, type(model), f"{setting}.{section}")
                raise ValueError("; ".join(lines)) from None
        return self.model_copy(update=changed)
