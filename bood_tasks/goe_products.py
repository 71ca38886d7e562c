"""What people read of GOE (Kirchheim & Ortmeier 2022), as specs: tables and figures of pictures and
of texts. As in products.py, each rests on what it shows and no more."""

from bood_tasks import stage_specs as stages
from bood_tasks.config import Config
from bood_tasks.config_ablations import REFERENCE, Study
from bood_tasks.config_datasets import is_text
from bood_tasks.config_sources import GENERATED
from bood_tasks.source_specs import gan_images, texts
from bood_tasks.spec import Spec, readable

METHOD = "oe"
FIGURES = {
    "gan_images.scale": "figure2",
    "gan_images.count": "figure5",
    "texts.temperature": "figure2_text",
}
NOISE = ("noise", "random_tokens")
COLUMNS = 8
SHOWN_BESIDE = 1.0  # the training range, in figure 1 beside what rows use


def kind_of_outliers(config: Config, row: str) -> str:
    """Return what kind of outliers a row saw, in GOE's words."""
    given = config.rows[row].outliers
    if len(given) != 1:
        return "mixed" if given else "none"
    kind = config.kind_of(*given)
    if kind in GENERATED:
        return "generated" if kind != "images" else "decoded"
    return "noise" if config.datasets[kind].kind in NOISE else "natural"


def notes(config: Config) -> dict:
    """Return the choices that decide the numbers, for the footnotes."""
    texts_, first = is_text(config.datasets[config.id]), config
    for name, row in config.rows.items():
        if row.method == METHOD:
            first = config.for_row(name)
            break
    kept = ("tokens", "vocabulary", "texts") if texts_ else ("image",)
    kinds = {config.kind_of(x) for row in config.rows.values() for x in row.outliers}
    generators = [name for name, kind in (("gan_generator", "gan"), ("language_model", "texts"))
                  if kind in kinds]  # fmt: skip
    if "gan" in kinds:
        kept += ("gan_images",)
    found = {name: getattr(first, name).model_dump(exclude={"shard"}) for name in kept}
    for name in generators:  # a path is no choice: what lies there is in the digests
        item = getattr(first, name)
        at_hand = item.source == "local"
        found[name] = {"source": "local"} if at_hand else item.train.model_dump()
    unused = {*stages.OWN_SETTINGS, "ood_weight", "reduction", "phi", "pretrained", "snapshots"}
    unused |= {"new_head", "gru", "start"}
    if texts_:
        unused |= {"depth", "width", "stem", "dropout", "augment", "crop_padding", "flip"}
        found["gru"] = first.detector.gru.model_dump()
    return {
        "seeds": config.seeds,
        "threshold": config.metrics.threshold,
        **found,
        "detector": first.detector.model_dump(exclude=unused),
        "outlier_exposure": first.detector.outlier_exposure.model_dump(),
        "rows": {name: row.set for name, row in config.rows.items()},
    }


def goe_tables(config: Config, metrics: Spec) -> Spec | None:
    """Spec of tables 1 and 3, or of table 2 for texts; None without a row that saw outliers."""
    if all(row.method != METHOD for row in config.rows.values()):
        return None
    outliers = {
        f"{row.method}|{row.variant}": kind_of_outliers(config, name)
        for name, row in config.rows.items()
    }
    table = "3" if config.detector.network == "resnet101" else "1"
    table = "2" if is_text(config.datasets[config.id]) else table
    settings = {"table": table, "outliers": outliers, "notes": notes(config)}
    return Spec("goe_tables", readable(config.id), settings, {"metrics": metrics})


def goe_sweeps(found: Study, metrics: Spec, baseline: str | None) -> Spec:
    """Spec of figures 2, 3 and 5: what one setting of a row with outliers does."""
    config = found.config
    settings = {
        "figures": {key: FIGURES[key] for key in found.sweeps if key in FIGURES},
        "sweeps": {key: list(map(list, values.items())) for key, values in found.sweeps.items()},
        "defaults": found.defaults,
        "method": METHOD,
        "baseline": None,
        "notes": notes(config.for_row(REFERENCE)),
    }
    if baseline:
        row = config.rows[baseline]
        settings["baseline"] = {"method": row.method, "variant": row.variant}
    return Spec("goe_sweeps", readable(config.id), settings, {"metrics": metrics})


def goe_epochs(config: Config) -> Spec | None:
    """Spec of figure 4: the rows whose weights of every epoch are kept."""
    names = stages.evaluated(config)
    rows, made = [], []
    for name, row in config.rows.items():
        own = config.for_row(name)
        if row.method != METHOD or not own.detector.snapshots:
            continue
        for seed in config.seeds:
            detector = stages.detector(config, name, seed)
            settings = {
                "datasets": names, "id": config.id, "test": config.test,
                "crop": config.image.crop, "scores": ["msp", "energy"],
                "threshold": config.metrics.threshold,
            }  # fmt: skip
            inputs = {
                "detector": detector,
                "datasets": tuple(stages.dataset(config, item) for item in names),
            }
            made.append(Spec("epochs", detector.name, settings, inputs))
            label = row.variant or kind_of_outliers(config, name)
            rows.append({"outliers": label, "seed": seed})
    if not made:
        return None
    settings = {"rows": rows, "notes": notes(config)}
    return Spec("goe_epochs", readable(config.id), settings, {"epochs": tuple(made)})


def _varied(config: Config, section: str, key: str) -> list[float]:
    """Return the values of a setting that figure 1 shows: those of the sweep, and the row's."""
    values = {SHOWN_BESIDE, getattr(getattr(config, section), key)}
    if config.ablations:
        values |= set(config.ablations.sweeps.get(f"{section}.{key}", ()))
    return sorted(values)


def _at(config: Config, section: str, key: str, value: float) -> Config:
    changed = getattr(config, section).model_copy(update={key: value})
    return config.model_copy(update={section: changed})


def goe_gallery(config: Config, of_texts: Config | None) -> Spec | None:
    """Spec of figure 1: outliers at several scales, and texts at several temperatures."""
    uses = {config.kind_of(x) for row in config.rows.values() for x in row.outliers}
    if "gan" not in uses:
        return None
    seed = config.seeds[0]
    inputs = {
        "dataset": stages.dataset(config, config.id),
        "gan_images": tuple(
            gan_images(_at(config, "gan_images", "scale", value), seed)[0]
            for value in _varied(config, "gan_images", "scale")
        ),
    }
    if of_texts:
        inputs["texts"] = tuple(
            texts(_at(of_texts, "texts", "temperature", value), seed)[0]
            for value in _varied(of_texts, "texts", "temperature")
        )
    return Spec("goe_gallery", readable(config.id), {"columns": COLUMNS}, inputs)
