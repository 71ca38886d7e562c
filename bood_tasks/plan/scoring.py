"""The specs of outputs, scores and metrics. Imports no torch."""

from collections.abc import Iterable

from bood_tasks.artifacts.code import defines
from bood_tasks.artifacts.outside import locate
from bood_tasks.artifacts.spec import Spec, readable
from bood_tasks.catalogue.scores import chooses, entry_of, moves
from bood_tasks.config.datasets import is_text
from bood_tasks.config.root import Config
from bood_tasks.plan import synthesis as stages
from bood_tasks.plan.datasets import code, dataset
from bood_tasks.plan.detectors import detector, method_file, outliers


def label_scores(config: Config, rows: Iterable[str]) -> tuple[list[dict], tuple[Spec, ...]]:
    """Return the label and the spec of each score of these rows, seed by seed."""
    labels, found = [], []
    for name in rows:
        row = config.rows[name]
        for seed in config.seeds:
            for score in row.scores:
                label = {"method": row.method, "variant": row.variant, "seed": seed}
                labels.append(label | {"score": score})
                found.append(scores(config, name, seed, score))
    return labels, tuple(found)


def _sets(config: Config) -> dict[str, list[str]]:
    return {"test": config.test, "validation": config.validation, "control": config.control}


def pixel_statistics(config: Config) -> Spec:
    """Spec of what pixels or the lengths of texts alone tell, and of what data sets share."""
    names = evaluated(config)
    settings = config.metrics.told() | _sets(config) | {"id": config.id, "datasets": names}
    inputs = {"datasets": tuple(stages.dataset(config, name) for name in names)}
    stage = "text_statistics" if is_text(config.datasets[config.id]) else "pixel_statistics"
    return Spec(stage, readable(config.id), settings, inputs)


def metrics(config: Config, name: str, rows: Iterable[str], **more: Spec) -> Spec:
    """Spec of every metric of these rows' scores."""
    labels, found = label_scores(config, rows)
    settings = config.metrics.told() | _sets(config) | {"id": config.id, "rows": labels}
    if config.metrics.groups:
        settings["groups"] = [list(item) for item in config.metrics.groups.items()]
    return Spec("metrics", readable(name), settings, {"scores": found, **more})


PLAIN = "ce"  # the method whose classifier distances are measured by


def outlier_distance(config: Config) -> Spec | None:
    """Spec of how far each row's outlier pictures lie from ID, of the first seed; None without a
    row of plain cross-entropy, or without rows that saw outliers."""
    plain = next((name for name, row in config.rows.items() if row.method == PLAIN), None)
    seen = [name for name, row in config.rows.items() if row.outliers]
    if plain is None or not seen or is_text(config.datasets[config.id]):
        return None
    seed, own, rows, found, filters = config.seeds[0], config.for_row(plain), [], [], []
    for name in seen:
        sources, made, judged = outliers(config, name, seed)
        row = config.rows[name]
        rows.append({"method": row.method, "variant": row.variant, "sources": sources})
        found += made
        filters += judged
    given = outputs(config, plain, seed, training=False)
    trained = given.inputs["detector"]
    settings = {
        "id": config.id, "datasets": sorted({*config.test, *config.validation}), "rows": rows,
        "neighbours": own.scoring.knn.neighbours, "crop": config.image.crop, "seed": seed,
    }  # fmt: skip
    inputs: dict = {
        "detector": trained, "outputs": given,
        "training": outputs(config, plain, seed, training=True),
        "dataset": dataset(own, config.id), "outliers": tuple(found),
    }  # fmt: skip
    if filters:
        inputs["outlier_filters"] = tuple(filters)
    name = readable(config.id, f"seed{seed}")
    return Spec("outlier_distance", name, settings, inputs, method_file(trained))


def evaluated(config: Config) -> list[str]:
    """Return the names of the ID data set and of those that it is compared with."""
    return sorted({config.id, *config.test, *config.validation, *config.control})


def outputs(config: Config, row: str, seed: int, *, training: bool) -> Spec:
    """Spec of a detector's logits and features: on the training split, or on all data sets."""
    names = [config.id] if training else evaluated(config)
    trained = detector(config, row, seed)
    inputs = {"detector": trained, "datasets": tuple(dataset(config, name) for name in names)}
    settings = {"datasets": names, "id": config.id, "crop": config.image.crop}
    name = trained.name
    if training:
        settings["training"], name = True, f"{name}-train"
    return Spec("outputs", name, settings, inputs, method_file(trained))


def scores(config: Config, row: str, seed: int, score: str) -> Spec:
    """Spec of one score of one detector: of every sample of every data set."""
    entry, own = entry_of(score), config.for_row(row)
    found = outputs(config, row, seed, training=False)
    inputs: dict = {"outputs": found}
    settings: dict = {"score": score, "id": config.id}
    if entry.settings:
        settings |= getattr(own.scoring, score).model_dump()
    if chooses(score, settings):
        settings["validation"] = config.validation
    if entry.fits:
        inputs["training"] = outputs(config, row, seed, training=True)
    source, moved = "", moves(score, settings)
    if score in config.scores:
        item = config.scores[score]
        path = locate(item.module, f"scores.{score}.module")
        source = str(path)
        settings |= {"content": code(path), "score_settings": item.settings}
        if defines(path, "fit"):
            inputs["training"] = outputs(config, row, seed, training=True)
            inputs["detector"] = found.inputs["detector"]  # whose last layer a fit may read
    if entry.linear or moved:
        inputs["detector"] = found.inputs["detector"]
        source = method_file(inputs["detector"])
    if moved:
        inputs["datasets"] = found.inputs["datasets"]
        settings |= {"datasets": found.settings["datasets"], "crop": config.image.crop}
    return Spec("scores", readable(found.name, score), settings, inputs, source)
