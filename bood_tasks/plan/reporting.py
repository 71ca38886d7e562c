"""The specs of what people read: metrics, tables, figures, the report.

Each rests on the stages that it shows and no others: `snakemake table1` trains nothing that only a
curve needs. catalogue/products.py says where each lies in results/ and what asks for it.
"""

from pathlib import Path

from bood_tasks.artifacts.outside import SHIPPED
from bood_tasks.artifacts.spec import Spec, readable
from bood_tasks.catalogue.methods import MADE
from bood_tasks.catalogue.products import PRODUCTS, table_numbers
from bood_tasks.catalogue.samplers import PRICED
from bood_tasks.config.datasets import is_text
from bood_tasks.config.root import Config
from bood_tasks.config.study import REFERENCE, SWEPT, Study, study
from bood_tasks.plan import detectors, goe, scoring
from bood_tasks.plan import synthesis as stages
from bood_tasks.plan.departures import departures, of_each_row
from bood_tasks.plan.notes import notes
from bood_tasks.plan.scoring import label_scores, metrics, pixel_statistics

COLUMNS = 8  # of contact sheets


def shown(config: Config) -> dict:
    """Return the configuration without run settings and paths, but for what ships with the
    project: contents are in the digests.

    Without `only`, too: what it chose is what is left; and without `choice`, of which nothing is
    shown.
    """
    unseen = {
        "run": True, "only": True, "choice": True, "generator": {"path", "train"},
        "text": {"only", "choice"},
    }  # fmt: skip
    plain = config.model_dump(exclude=unseen)
    if config.outlier_filter.max_confidence is None:
        del plain["outlier_filter"]
    for item in plain["datasets"].values():
        if not str(item.get("file")).startswith(SHIPPED):
            item.pop("file", None)
        item.pop("path", None)
        if item["kind"] == "imglist":
            del item["pictures"]
            item["lists"] = {split: Path(x).name for split, x in item["lists"].items() if x}
    if not config.scores:  # reports without stay as they are
        del plain["scores"]
    return plain


def _unlike_published(of_row: dict[str, Config], kind: str) -> dict[str, list[str]]:
    """Return, by BOOD's table, how its values are made otherwise than the paper's."""
    return {number: departures(of_row, f"table{number}") for number in table_numbers(kind)}


def ablations(varied: Study) -> Spec:
    """Spec of tables 3, 6 and 8."""
    config, rows = varied.config, varied.varied()
    reference = config.for_row(REFERENCE)
    of_row = {name: config.for_row(name) for name in rows}
    settings = {
        "notes": notes(reference, rows),
        "departures": _unlike_published(
            {"": reference, config.ablations.row: reference} | of_row, "ablations"
        ),
    }
    inputs = {"metrics": metrics(config, f"{config.id}-ablations", rows)}
    return Spec("ablations", readable(config.id), settings, inputs)


def _swept(varied: Study) -> tuple[Spec, str | None]:
    """Return the metrics behind a study's curves, and the cross-entropy row beside them, if any."""
    config, rows, baseline = varied.config, varied.swept(), None
    for name, row in config.rows.items():
        if row.method == "ce":  # by the scores of the curves, if it has those
            wanted = [x for x in config.rows[SWEPT].scores if x in row.scores] or row.scores[:1]
            one = row.model_copy(update={"scores": wanted})
            config = config.model_copy(update={"rows": config.rows | {name: one}})
            rows, baseline = [name, *rows], name
            break
    return metrics(config, f"{config.id}-sweeps", rows), baseline


def _points(varied: Study) -> dict:
    """Return the points of each curve, [value, variant], and the settings' defaults."""
    points = {key: list(map(list, values.items())) for key, values in varied.sweeps.items()}
    return {"sweeps": points, "defaults": varied.defaults}


def sweeps(varied: Study) -> Spec:
    """Spec of figures 5 and 6, or of GOE's 2 and 3: curves, and the cross-entropy row if any."""
    results, baseline = _swept(varied)
    config = varied.config
    if config.method(SWEPT).goe:
        return goe.goe_sweeps(varied, results, baseline, _points(varied))
    settings = _points(varied) | {"notes": notes(config.for_row(SWEPT), [SWEPT])}
    return Spec("sweeps", readable(config.id), settings, {"metrics": results})


def costs(config: Config) -> Spec | None:
    """Spec of tables 4 and 5, of the first seed; None without a row whose outliers are decoded."""
    inputs, seed = {}, config.seeds[0]
    for name, row in config.rows.items():
        decoded = list(row.outliers) == ["images"]
        if row.method not in PRICED or row.variant or not decoded:
            continue
        of_row = config.for_row(name)
        sampled = stages.ood_features(of_row, seed)
        inputs[row.method] = (
            stages.encoder(of_row, seed),
            stages.features(of_row, seed),
            sampled,
            *stages.images(of_row, seed),
            detectors.detector(config, name, seed),
            *([sampled.inputs["distances"]] if "distances" in sampled.inputs else []),
        )
    return Spec("costs", readable(config.id, f"seed{seed}"), {}, inputs) if inputs else None


def figures(config: Config, pixels: Spec) -> Spec:
    """Spec of what scores alone can draw."""
    labels, scores = label_scores(config, config.rows)
    settings = {"rows": labels, "id": config.id, "test": config.test}
    return Spec("figures", readable(config.id), settings, {"scores": scores, "pixels": pixels})


def _shown_row(config: Config) -> str:
    """Return the row whose pictures and mistakes are shown: the first with outliers that a
    generator made, else the first with outliers, else the first."""
    kinds = {name: goe.kind_of_outliers(config, name) for name in config.rows}
    wanted = (*MADE, "mixed"), ("natural", "noise"), ("none",)
    return next(name for group in wanted for name, kind in kinds.items() if kind in group)


def best(config: Config, metrics: Spec) -> Spec | None:
    """Spec of what validation chooses, and of what that is worth; None without validation sets."""
    return (
        Spec("best", readable(config.id), {}, {"metrics": metrics}) if config.validation else None
    )


def comparison(config: Config, metrics: Spec, pixels: Spec) -> Spec:
    """Spec of how the rows compare: ranks, costs, and outliers' distances, if any.

    What each line's scores rest on is named, not declared: no result depends on how long a job
    ran."""
    labels, scores = label_scores(config, config.rows)
    places: dict[str, int] = {}
    made, rows = [], []
    for label, score in zip(labels, scores, strict=True):
        behind: dict[str, Spec] = {}
        _gather(score, behind)
        for digest, spec in behind.items():
            if digest not in places:
                places[digest] = len(made)
                made.append({"stage": spec.stage, "name": spec.name, "digest": digest})
        rows.append(label | {"behind": sorted(places[digest] for digest in behind)})
    settings, inputs = {"made": made, "rows": rows}, {"metrics": metrics, "pixels": pixels}
    if measured := scoring.outlier_distance(config):
        inputs["outlier_distance"] = measured
    return Spec("comparison", readable(config.id), settings, inputs)


def _gather(spec: Spec, found: dict[str, Spec]) -> None:
    """Add a spec and all that it is made from, by digest."""
    if spec.digest not in found:
        found[spec.digest] = spec
        for upstream in spec.upstream():
            _gather(upstream, found)


def examples(config: Config) -> Spec:
    """Spec of pictures of every set, one row's surest mistakes, and its classes."""
    name, seed = _shown_row(config), config.seeds[0]
    row, data = config.rows[name], [config.id, *config.test]
    scored = scoring.scores(config, name, seed, row.scores[0])
    named, found, _ = detectors.outliers(config, name, seed)
    first = [sum(each["artifacts"] for each in named[:n]) for n in range(len(named))]
    settings = {
        "id": config.id,
        "test": config.test,
        "row": {
            "method": row.method, "variant": row.variant, "seed": seed, "score": row.scores[0],
        },
        "outliers": list(row.outliers),
        "columns": COLUMNS,
    }  # fmt: skip
    inputs = {
        "datasets": tuple(stages.dataset(config, item) for item in data),
        "scores": scored,
        "outputs": scored.inputs["outputs"],
    }
    if found:
        inputs["outliers"] = tuple(found[place] for place in first)
    return Spec("examples", readable(config.id), settings, inputs)


def _decodes(config: Config) -> bool:
    return "images" in {config.kind_of(x) for row in config.rows.values() for x in row.outliers}


def gallery(config: Config) -> Spec | None:
    """Spec of the pictures of what lies on the way to the scores, of the first seed; None without
    a row whose outliers are decoded."""
    seed = config.seeds[0]
    if not _decodes(config):
        return None
    inputs = {
        "dataset": stages.dataset(config, config.id),
        "anchors": stages.anchors(config),
        "ood_images": stages.images(config, seed),
        "id_images": stages.id_images(config, seed, COLUMNS),
        "trajectory": stages.trajectory(config, seed),
        "strips": stages.strips(config, seed),
        "features": stages.features(config, seed),
        "distances": stages.distances(config, seed),
        "ood_features": stages.ood_features(config, seed),
        "encoder": stages.encoder(config, seed),
    }
    if kept := detectors.outlier_filter(config, config, inputs["ood_images"], None, seed):
        inputs["outlier_filter"] = kept
    compared = stages.dreamood_images(config, seed)
    if compared:
        inputs["dreamood_images"] = compared
    settings = {"contact_columns": COLUMNS}
    if beside := stages.compared(config, seed):
        settings["beside"] = beside
    return Spec("gallery", readable(config.id), settings, inputs)


def losses(config: Config) -> Spec | None:
    """Spec of the losses of the first seed; None where no row is trained."""
    seed = config.seeds[0]
    trained = {name: detectors.detector(config, name, seed) for name in config.rows}
    trained = {name: spec for name, spec in trained.items() if spec.stage == "detector"}
    if not trained:
        return None
    rows = [config.rows[name] for name in trained]
    settings = {"rows": [{"method": r.method, "variant": r.variant} for r in rows], "seed": seed}
    inputs: dict = {"detectors": tuple(trained.values())}
    if _decodes(config):
        inputs["encoder"] = stages.encoder(config, seed)
    return Spec("losses", readable(config.id), settings, inputs)


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
        if not prefix:  # of texts there is no such figure, and the pictures' stands
            found["goe_counts"] = goe.goe_counts(varied)
    return found


def of_texts(config: Config) -> dict[str, Spec | None]:
    """Return the products of a configuration of texts, by kind; None is one that it has not."""
    results = metrics(config, config.id, config.rows, pixels=pixel_statistics(config))
    return {
        "text_metrics": results,
        "goe_text_tables": goe.goe_tables(config, results),
        **_varied(config, "text_"),
    }


def products(config: Config) -> dict[str, Spec]:
    """Return the products that a configuration has, by kind."""
    if is_text(config.datasets[config.id]):
        return {kind: spec for kind, spec in of_texts(config).items() if spec}
    pixels, texts = pixel_statistics(config), config.of_texts()
    results = metrics(config, config.id, config.rows, pixels=pixels)
    settings = {
        "notes": notes(config, config.rows),
        "departures": _unlike_published(of_each_row(config), "tables"),
    }
    found = {
        "metrics": results,
        **{
            kind: Spec(kind, readable(config.id), settings, {"metrics": results})
            for kind, product in PRODUCTS.items()
            if product.from_metrics
        },
        "costs": costs(config),
        **_varied(config, ""),
        "goe_tables": goe.goe_tables(config, results),
        "goe_epochs": goe.goe_epochs(config),
        "goe_gallery": goe.goe_gallery(config, texts, COLUMNS),
        **(of_texts(texts) if texts else {}),
        "best": best(config, results),
        "comparison": comparison(config, results, pixels),
        "examples": examples(config),
        "figures": figures(config, pixels),
        "gallery": gallery(config),
        "losses": losses(config),
    }
    return {kind: spec for kind, spec in found.items() if spec}
