"""The specs of GOE's tables and figures. Imports no torch."""

from bood_tasks.artifacts.spec import Spec, readable
from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.config.datasets import is_text
from bood_tasks.config.root import Config
from bood_tasks.config.study import SWEPT, Study, row_of
from bood_tasks.config.synthesis import GENERATED
from bood_tasks.plan import detectors, scoring
from bood_tasks.plan import synthesis as stages
from bood_tasks.plan.departures import departures, of_each_row
from bood_tasks.plan.notes import goe_notes
from bood_tasks.plan.synthesis import gan_images, texts

GOE_FIGURES = {  # the settings that GOE's figures are over
    "gan_images.scale": "figure2",
    "texts.temperature": "figure2_text",
}
GOE_COUNT = "gan_images.count"  # of figure 5, whose axis is the epochs
NOISE = ("noise", "random_tokens")  # kinds of data sets
TRAINED_WITH = 1.0  # scale and temperature that generators learn with, beside others in figure 1


def kind_of_outliers(config: Config, row: str) -> str:
    """Return what kind of outliers a row saw, in GOE's words."""
    names = config.rows[row].outliers
    if len(names) != 1:
        return "mixed" if names else "none"
    kind = config.kind_of(*names)
    if kind in GENERATED:
        return "generated" if kind != "images" else "decoded"
    kind = config.datasets[kind].kind
    if kind in CATALOGUE and CATALOGUE[kind].generated:
        return "generated"
    return "noise" if kind in NOISE else "natural"


def kinds_of_outliers(config: Config) -> dict[str, str]:
    """Return the kind of outliers that each row saw, by `method|variant`."""
    return {
        f"{row.method}|{row.variant}": kind_of_outliers(config, name)
        for name, row in config.rows.items()
    }


def goe_tables(config: Config, metrics: Spec) -> Spec | None:
    """Spec of GOE's table 1 or 3, or 2 of texts; None without a row that saw outliers."""
    if not any(config.method(name).goe for name in config.rows):
        return None
    table = "3" if _of_table_3(config) else "1"
    table = "2" if is_text(config.datasets[config.id]) else table
    settings = {
        "table": table,
        "outliers": kinds_of_outliers(config),
        "notes": goe_notes(config),
        "departures": {table: departures(of_each_row(config), f"goe_table{table}")},
    }
    return Spec("goe_tables", readable(config.id), settings, {"metrics": metrics})


def goe_sweeps(varied: Study, metrics: Spec, baseline: str | None, points: dict) -> Spec:
    """Spec of GOE's figures 2 and 3: what one setting of a row with outliers does.

    `points`: of each curve, [value, variant], and the settings' defaults.

    The sweep of the ResNet-101 of GOE's table 3 is its figure 3.
    """
    config = varied.config
    figures = {key: GOE_FIGURES[key] for key in varied.sweeps if key in GOE_FIGURES}
    if _of_table_3(config) and "gan_images.scale" in figures:
        figures["gan_images.scale"] = "figure3"
    settings = {
        "figures": figures,
        **points,
        "method": config.rows[SWEPT].method,
        "baseline": None,
        "notes": goe_notes(config.for_row(SWEPT)),
    }
    if baseline:
        row = config.rows[baseline]
        settings["baseline"] = {"method": row.method, "variant": row.variant}
    return Spec("goe_sweeps", readable(config.id), settings, {"metrics": metrics})


def _of_table_3(config: Config) -> bool:
    return config.detector.network == "resnet101"


def _followed(config: Config, labels: dict[str, str], figure: str) -> Spec | None:
    """Spec of a figure over the epochs: of the rows in `labels` whose weights are all kept."""
    names = scoring.evaluated(config)
    rows, made = [], []
    for name, label in labels.items():
        if not config.for_row(name).detector.snapshots:
            continue
        for seed in config.seeds:
            detector = detectors.detector(config, name, seed)
            settings = {
                "datasets": names, "id": config.id, "test": config.test,
                "crop": config.image.crop, "scores": ["msp", "energy"],
                **config.metrics.told(),
            }  # fmt: skip
            inputs = {
                "detector": detector,
                "datasets": tuple(stages.dataset(config, item) for item in names),
            }
            if "start" in detector.inputs:
                inputs["start"] = detector.inputs["start"]
            made.append(Spec("epochs", detector.name, settings, inputs))
            rows.append({"outliers": label, "seed": seed})
    if not made:
        return None
    settings = {"figure": figure, "rows": rows, "notes": goe_notes(config)}
    return Spec("goe_epochs", readable(config.id, figure), settings, {"epochs": tuple(made)})


def goe_epochs(config: Config) -> Spec | None:
    """Spec of GOE's figure 4: the rows whose weights of every epoch are kept."""
    labels = {
        name: row.variant or kind_of_outliers(config, name)
        for name, row in config.rows.items()
        if config.method(name).goe
    }
    return _followed(config, labels, "figure4")


def goe_counts(varied: Study) -> Spec | None:
    """Spec of GOE's figure 5: each number of outliers over the epochs; None without such a sweep of
    a row whose weights of every epoch are kept."""
    counts = varied.sweeps.get(GOE_COUNT, {})
    if not counts or not varied.config.method(SWEPT).goe:
        return None
    labels = {row_of(variant, SWEPT): f"{count:,}" for count, variant in counts.items()}
    return _followed(varied.config, labels, "figure5")


def _values_shown(config: Config, section: str, key: str) -> list[float]:
    """Return the values of a setting that figure 1 shows: those of the sweep, and the row's."""
    values = {TRAINED_WITH, getattr(getattr(config, section), key)}
    if config.ablations:
        values |= set(config.ablations.sweeps.get(f"{section}.{key}", ()))
    return sorted(values)


def _at(config: Config, section: str, key: str, value: float) -> Config:
    changed = getattr(config, section).model_copy(update={key: value})
    return config.model_copy(update={section: changed})


def goe_gallery(config: Config, of_texts: Config | None, columns: int) -> Spec | None:
    """Spec of GOE's figure 1: outliers at several scales, and texts at several temperatures."""
    uses = {config.kind_of(x) for row in config.rows.values() for x in row.outliers}
    if "gan" not in uses:
        return None
    seed = config.seeds[0]
    inputs = {
        "dataset": stages.dataset(config, config.id),
        "gan_images": tuple(
            gan_images(_at(config, "gan_images", "scale", value), seed)[0]
            for value in _values_shown(config, "gan_images", "scale")
        ),
    }
    if of_texts:
        inputs["texts"] = tuple(
            texts(_at(of_texts, "texts", "temperature", value), seed)[0]
            for value in _values_shown(of_texts, "texts", "temperature")
        )
    return Spec("goe_gallery", readable(config.id), {"columns": columns}, inputs)
