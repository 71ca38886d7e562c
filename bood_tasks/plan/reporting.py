"""The specs of what people read: metrics, tables, figures, the report.

Each rests on the stages that it shows and no others: `snakemake table1` trains nothing that only a
curve needs. catalogue/products.py says where each lies in results/ and what asks for it.
"""

from bood_tasks.artifacts.outside import SHIPPED
from bood_tasks.artifacts.spec import Spec, readable
from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.catalogue.methods import MADE
from bood_tasks.catalogue.products import PRODUCTS, table_numbers
from bood_tasks.catalogue.samplers import PRICED
from bood_tasks.config.datasets import is_text
from bood_tasks.config.root import Config
from bood_tasks.config.study import REFERENCE, SWEPT, Study, row_of, study
from bood_tasks.config.synthesis import GENERATED
from bood_tasks.plan import detectors, scoring
from bood_tasks.plan import synthesis as stages
from bood_tasks.plan.departures import departures
from bood_tasks.plan.notes import goe_notes, notes
from bood_tasks.plan.scoring import label_scores, metrics, pixel_statistics
from bood_tasks.plan.synthesis import gan_images, texts

COLUMNS = 8  # of contact sheets
GOE_FIGURES = {  # the settings that GOE's figures are over
    "gan_images.scale": "figure2",
    "texts.temperature": "figure2_text",
}
GOE_COUNT = "gan_images.count"  # of figure 5, whose axis is the epochs
NOISE = ("noise", "random_tokens")  # kinds of data sets
TRAINED_WITH = 1.0  # scale and temperature that generators learn with, beside others in figure 1


def shown(config: Config) -> dict:
    """Return the configuration without run settings and paths, but for what ships with the
    project: contents are in the digests.

    Without `only`, too: what it chose is what is left.
    """
    unseen = {"run": True, "only": True, "generator": {"path", "train"}, "text": {"only"}}
    plain = config.model_dump(exclude=unseen)
    if config.outlier_filter.max_confidence is None:
        del plain["outlier_filter"]
    for item in plain["datasets"].values():
        if not str(item.get("file")).startswith(SHIPPED):
            item.pop("file", None)
        item.pop("path", None)
    if not config.scores:  # reports without stay as they are
        del plain["scores"]
    return plain


def _each(config: Config) -> dict[str, Config]:
    """Return the configuration of every row by its name, and that of all of them by ""."""
    return {"": config} | {name: config.for_row(name) for name in config.rows}


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
        return goe_sweeps(varied, results, baseline)
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
    kinds = {name: kind_of_outliers(config, name) for name in config.rows}
    wanted = (*MADE, "mixed"), ("natural", "noise"), ("none",)
    return next(name for group in wanted for name, kind in kinds.items() if kind in group)


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
        "contact_columns": COLUMNS,
    }
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
        "detectors": tuple(detectors.detector(config, name, seed) for name in config.rows),
    }
    if kept := detectors.outlier_filter(config, config, inputs["ood_images"], None, seed):
        inputs["outlier_filter"] = kept
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
        if not prefix:  # of texts there is no such figure, and the pictures' stands
            found["goe_counts"] = goe_counts(varied)
    return found


def of_texts(config: Config) -> dict[str, Spec | None]:
    """Return the products of a configuration of texts, by kind; None is one that it has not."""
    results = metrics(config, config.id, config.rows, pixels=pixel_statistics(config))
    return {
        "text_metrics": results,
        "goe_text_tables": goe_tables(config, results),
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
        "departures": _unlike_published(_each(config), "tables"),
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
        "goe_tables": goe_tables(config, results),
        "goe_epochs": goe_epochs(config),
        "goe_gallery": goe_gallery(config, texts),
        **(of_texts(texts) if texts else {}),
        "examples": examples(config),
        "figures": figures(config, pixels),
        "gallery": gallery(config),
    }
    return {kind: spec for kind, spec in found.items() if spec}


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
        "departures": {table: departures(_each(config), f"goe_table{table}")},
    }
    return Spec("goe_tables", readable(config.id), settings, {"metrics": metrics})


def goe_sweeps(varied: Study, metrics: Spec, baseline: str | None) -> Spec:
    """Spec of GOE's figures 2 and 3: what one setting of a row with outliers does.

    The sweep of the ResNet-101 of GOE's table 3 is its figure 3.
    """
    config = varied.config
    figures = {key: GOE_FIGURES[key] for key in varied.sweeps if key in GOE_FIGURES}
    if _of_table_3(config) and "gan_images.scale" in figures:
        figures["gan_images.scale"] = "figure3"
    settings = {
        "figures": figures,
        **_points(varied),
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
                "threshold": config.metrics.threshold,
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


def goe_gallery(config: Config, of_texts: Config | None) -> Spec | None:
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
    return Spec("goe_gallery", readable(config.id), {"columns": COLUMNS}, inputs)
