"""What people read, as specs: metrics, tables, figures, the report. Each rests on the stages that
it shows and no others, so `snakemake table1` trains nothing that only a curve needs."""

from collections.abc import Iterable

from bood_tasks import stage_specs as stages
from bood_tasks.config import Config
from bood_tasks.config_ablations import REFERENCE, Study, study
from bood_tasks.spec import Spec, readable
from bood_tasks.stage_specs import OWN_SETTINGS

CONTACT_COLUMNS = 8
# Why a configuration has none of these; all others it always has.
ABSENT = {
    "ablations": "write ablations.variants, as config.yaml does, to have tables 3, 6 and 8",
    "sweeps": "write ablations.sweeps, as config.yaml does, to have figures 5 and 6",
    "costs": "add a row of method bood or dreamood to have tables 4 and 5",
}


def notes(config: Config, rows: Iterable[str]) -> dict:
    """Return the choices that decide the numbers, for the tables' footnotes."""
    used = {config.method(name).module for name in rows}
    scored = {score for name in rows for score in config.rows[name].scores}
    own = {name: getattr(config.detector, name).model_dump() for name in OWN_SETTINGS}
    if any(config.rows[name].method == "dreamood" for name in rows):
        own["dreamood"] = config.ood_features.dreamood.model_dump()
        used.add("dreamood")
    scoring = config.scoring.model_dump()
    return {
        "seeds": config.seeds,
        "threshold": config.metrics.threshold,
        "image": config.image.model_dump(),
        "encoder": config.encoder.model_dump(),
        "distances": config.distances.model_dump(exclude={"rows"}),  # the same selection
        "ood_features": stages.sampling(config),
        "images": config.images.model_dump(
            exclude={"shard"} | (set() if config.images.saved_size else {"kernel"})
        ),
        "detector": config.detector.model_dump(exclude=set(OWN_SETTINGS)),
        **{name: settings for name, settings in own.items() if name in used},
        **{name: settings for name, settings in scoring.items() if name in scored},
        "rows": {name: config.rows[name].set for name in rows},
    }


def shown(config: Config) -> dict:
    """Return the configuration without paths and run settings: contents are in the digests."""
    plain = config.model_dump(exclude={"run": True, "generator": {"path", "train"}})
    for item in plain["datasets"].values():
        item.pop("file", None)
        item.pop("path", None)
    return plain


def _read(config: Config, rows: Iterable[str]) -> tuple[list[dict], tuple[Spec, ...]]:
    """Return the label and the spec of each score of these rows, seed by seed."""
    labels, found = [], []
    for name in rows:
        row = config.rows[name]
        for seed in config.seeds:
            for score in row.scores:
                label = {"method": row.method, "variant": row.variant, "seed": seed}
                labels.append(label | {"score": score})
                found.append(stages.scores(config, name, seed, score))
    return labels, tuple(found)


def _groups(config: Config) -> dict[str, list[str]]:
    return {"test": config.test, "validation": config.validation, "control": config.control}


def pixel_statistics(config: Config) -> Spec:
    """Spec of what the pixels alone tell, and of pictures that data sets share."""
    names = stages.evaluated(config)
    settings = config.metrics.model_dump() | _groups(config) | {"id": config.id, "datasets": names}
    inputs = {"datasets": tuple(stages.dataset(config, name) for name in names)}
    return Spec("pixel_statistics", readable(config.id), settings, inputs)


def metrics(config: Config, name: str, rows: Iterable[str], **more: Spec) -> Spec:
    """Spec of every figure of these rows' scores."""
    labels, found = _read(config, rows)
    settings = config.metrics.model_dump() | _groups(config) | {"id": config.id, "rows": labels}
    return Spec("metrics", readable(name), settings, {"scores": found, **more})


def ablations(found: Study) -> Spec:
    """Spec of tables 3, 6 and 8."""
    config, rows = found.config, found.varied()
    settings = {"notes": notes(config.for_row(REFERENCE), rows)}
    inputs = {"metrics": metrics(config, f"{config.id}-ablations", rows)}
    return Spec("ablations", readable(config.id), settings, inputs)


def sweeps(found: Study) -> Spec:
    """Spec of figures 5 and 6: the curves, with a cross-entropy row beside them if there is one."""
    config, rows = found.config, found.swept()
    settings = {
        "sweeps": {key: list(map(list, values.items())) for key, values in found.sweeps.items()},
        "defaults": found.defaults,
        "notes": notes(config.for_row(REFERENCE), [REFERENCE]),
    }
    for name, row in config.rows.items():
        if row.method == "ce":  # by the score of the curves, if it has that
            wanted = [x for x in config.rows[REFERENCE].scores if x in row.scores] or row.scores
            one = row.model_copy(update={"scores": wanted[:1]})
            config = config.model_copy(update={"rows": config.rows | {name: one}})
            rows = [name, *rows]
            break
    inputs = {"metrics": metrics(config, f"{config.id}-sweeps", rows)}
    return Spec("sweeps", readable(config.id), settings, inputs)


def costs(config: Config) -> Spec | None:
    """Spec of tables 4 and 5, of the first seed; None without a row whose outliers are decoded."""
    inputs, seed = {}, config.seeds[0]
    for name, row in config.rows.items():
        if row.method not in ("bood", "dreamood") or row.variant or row.outliers != "images":
            continue
        own = config.for_row(name)
        made = (
            stages.encoder(own, seed),
            stages.features(own, seed),
            stages.ood_features(own, seed),
            *stages.images(own, seed),
            stages.detector(config, name, seed),
        )
        distances = made[2].inputs.get("distances")
        inputs[row.method] = (*made, distances) if distances else made
    return Spec("costs", readable(config.id, f"seed{seed}"), {}, inputs) if inputs else None


def figures(config: Config, pixels: Spec) -> Spec:
    """Spec of what scores alone can draw."""
    labels, found = _read(config, config.rows)
    settings = {"rows": labels, "id": config.id, "test": config.test}
    return Spec("figures", readable(config.id), settings, {"scores": found, "pixels": pixels})


def gallery(config: Config) -> Spec:
    """Spec of the pictures of what lies on the way to the scores, of the first seed."""
    seed = config.seeds[0]
    settings = {
        "rows": [{"method": r.method, "variant": r.variant} for r in config.rows.values()],
        "seed": seed,
        "contact_columns": CONTACT_COLUMNS,
    }
    inputs = {
        "dataset": stages.dataset(config, config.id),
        "anchors": stages.anchors(config),
        "ood_images": stages.images(config, seed),
        "id_images": stages.id_images(config, seed, CONTACT_COLUMNS),
        "trajectory": stages.trajectory(config, seed),
        "strips": stages.strips(config, seed),
        "features": stages.features(config, seed),
        "distances": stages.distances(config, seed),
        "ood_features": stages.ood_features(config, seed),
        "encoder": stages.encoder(config, seed),
        "detectors": tuple(stages.detector(config, name, seed) for name in config.rows),
    }
    compared = stages.dreamood_images(config, seed)
    if compared:
        inputs["dreamood_images"] = compared
    return Spec("gallery", readable(config.id), settings, inputs)


def products(config: Config) -> dict[str, Spec]:
    """Return what people read, by kind; what the configuration has no rows for is not there."""
    pixels = pixel_statistics(config)
    figured = metrics(config, config.id, config.rows, pixels=pixels)
    settings = {"notes": notes(config, config.rows)}
    found = {
        "metrics": figured,
        "tables": Spec("tables", readable(config.id), settings, {"metrics": figured}),
        "costs": costs(config),
    }
    if config.ablations:
        varied = study(config)
        found["ablations"] = ablations(varied) if varied.variants else None
        found["sweeps"] = sweeps(varied) if varied.sweeps else None
    found |= {"figures": figures(config, pixels), "gallery": gallery(config)}
    return {kind: spec for kind, spec in found.items() if spec}
