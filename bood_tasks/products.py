"""What people read, as specs: metrics, tables, figures, the report. Each rests on the stages that
it shows and no others, so `snakemake table1` trains nothing that only a curve needs."""

from collections.abc import Iterable

from bood_tasks import stage_specs as stages
from bood_tasks.config import Config
from bood_tasks.config_ablations import REFERENCE, Study, study
from bood_tasks.config_datasets import is_text
from bood_tasks.goe_products import METHOD as GOE
from bood_tasks.goe_products import goe_epochs, goe_gallery, goe_sweeps, goe_tables
from bood_tasks.spec import Spec, readable
from bood_tasks.stage_specs import OWN_SETTINGS

CONTACT_COLUMNS = 8
# Why a configuration has none of these; of pictures it always has all others.
ABSENT = {
    "gallery": "add a row with outliers of images to have figures 1 to 4, 7 and 8",
    "ablations": "write ablations.variants, as config.yaml does, to have tables 3, 6 and 8",
    "sweeps": "write ablations.sweeps, as config.yaml does, to have figures 5 and 6",
    "costs": "add a row of method bood or dreamood to have tables 4 and 5",
    "goe_tables": "add a row of method oe to have GOE's tables 1 and 3",
    "goe_text_tables": "write a `text` part with a row of method oe to have GOE's table 2",
    "goe_sweeps": "write ablations of a row of method oe to have GOE's figures 2, 3 and 5",
    "goe_text_sweeps": "write text.ablations of a row of method oe to have GOE's figure 2 of texts",
    "goe_epochs": "set detector.snapshots for rows of method oe to have GOE's figure 4",
    "goe_gallery": "add a row with outliers of a gan to have GOE's figure 1",
    "text_metrics": "write a `text` part to have figures of texts",
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
    """Spec of what pixels or the lengths of texts alone tell, and of what data sets share."""
    names = stages.evaluated(config)
    settings = config.metrics.model_dump() | _groups(config) | {"id": config.id, "datasets": names}
    inputs = {"datasets": tuple(stages.dataset(config, name) for name in names)}
    stage = "text_statistics" if is_text(config.datasets[config.id]) else "pixel_statistics"
    return Spec(stage, readable(config.id), settings, inputs)


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


def _swept(found: Study) -> tuple[Spec, str | None]:
    """Return the figures of a study's curves, and the cross-entropy row beside them, if any."""
    config, rows, baseline = found.config, found.swept(), None
    for name, row in config.rows.items():
        if row.method == "ce":  # by the scores of the curves, if it has those
            wanted = [x for x in config.rows[REFERENCE].scores if x in row.scores] or row.scores[:1]
            one = row.model_copy(update={"scores": wanted})
            config = config.model_copy(update={"rows": config.rows | {name: one}})
            rows, baseline = [name, *rows], name
            break
    return metrics(config, f"{config.id}-sweeps", rows), baseline


def sweeps(found: Study) -> Spec:
    """Spec of figures 5 and 6: the curves, with a cross-entropy row beside them if there is one."""
    figured, baseline = _swept(found)
    if found.config.rows[REFERENCE].method == GOE:
        return goe_sweeps(found, figured, baseline)
    settings = {
        "sweeps": {key: list(map(list, values.items())) for key, values in found.sweeps.items()},
        "defaults": found.defaults,
        "notes": notes(found.config.for_row(REFERENCE), [REFERENCE]),
    }
    return Spec("sweeps", readable(found.config.id), settings, {"metrics": figured})


def costs(config: Config) -> Spec | None:
    """Spec of tables 4 and 5, of the first seed; None without a row whose outliers are decoded."""
    inputs, seed = {}, config.seeds[0]
    for name, row in config.rows.items():
        decoded = list(row.outliers) == ["images"]
        if row.method not in ("bood", "dreamood") or row.variant or not decoded:
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


def gallery(config: Config) -> Spec | None:
    """Spec of the pictures of what lies on the way to the scores, of the first seed; None without
    a row whose outliers are decoded."""
    seed = config.seeds[0]
    decoded = {config.kind_of(x) for row in config.rows.values() for x in row.outliers}
    if "images" not in decoded:
        return None
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


def _varied(config: Config, prefix: str) -> dict[str, Spec | None]:
    """Return what shows the variants of one row, BOOD's or GOE's."""
    if not config.ablations:
        return {}
    varied, found = study(config), {}
    if varied.variants and not prefix:
        found["ablations"] = ablations(varied)
    if varied.sweeps:
        spec = sweeps(varied)
        kind = spec.stage if not prefix else spec.stage.replace("goe_", f"goe_{prefix}")
        found[kind] = spec
    return found


def of_texts(config: Config) -> dict[str, Spec | None]:
    """Return what people read of the texts, by kind."""
    figured = metrics(config, config.id, config.rows, pixels=pixel_statistics(config))
    return {
        "text_metrics": figured,
        "goe_text_tables": goe_tables(config, figured),
        **_varied(config, "text_"),
    }


def products(config: Config) -> dict[str, Spec]:
    """Return what people read, by kind; what the configuration has no rows for is not there."""
    if is_text(config.datasets[config.id]):
        return {kind: spec for kind, spec in of_texts(config).items() if spec}
    pixels, texts = pixel_statistics(config), config.of_texts()
    figured = metrics(config, config.id, config.rows, pixels=pixels)
    settings = {"notes": notes(config, config.rows)}
    found = {
        "metrics": figured,
        "tables": Spec("tables", readable(config.id), settings, {"metrics": figured}),
        "costs": costs(config),
        **_varied(config, ""),
        "goe_tables": goe_tables(config, figured),
        "goe_epochs": goe_epochs(config),
        "goe_gallery": goe_gallery(config, texts),
        **(of_texts(texts) if texts else {}),
        "figures": figures(config, pixels),
        "gallery": gallery(config),
    }
    return {kind: spec for kind, spec in found.items() if spec}
