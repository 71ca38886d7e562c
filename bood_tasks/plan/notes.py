"""The choices that decide the numbers, for the tables' footnotes."""

from collections.abc import Iterable

from bood_tasks.catalogue.methods import GOE
from bood_tasks.config.datasets import is_text
from bood_tasks.config.root import Config
from bood_tasks.plan import detectors
from bood_tasks.plan import synthesis as stages
from bood_tasks.plan.detectors import OWN_SETTINGS


def _filtered(config: Config) -> dict:
    """Return the outlier filter's settings, if there is one."""
    item = config.outlier_filter
    return {} if item.max_confidence is None else {"outlier_filter": item.model_dump()}


def notes(config: Config, rows: Iterable[str]) -> dict:
    """Return the choices that decide the numbers, for the tables' footnotes."""
    used = {config.method(name).module for name in rows}
    scored = {score for name in rows for score in config.rows[name].scores}
    own = {name: getattr(config.detector, name).model_dump() for name in OWN_SETTINGS}
    for sampler in sorted({stages.sampler_of(config, name) for name in rows}):
        if section := stages.sampler_section(config, sampler):
            own[sampler] = section
            used.add(sampler)
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
        **_filtered(config),
        "rows": {name: config.rows[name].set for name in rows},
    }


def goe_notes(config: Config) -> dict:
    """Return the choices that decide the numbers, for the footnotes."""
    texts_, first = is_text(config.datasets[config.id]), config
    for name, row in config.rows.items():
        if row.method == GOE:
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
    unused = {*detectors.OWN_SETTINGS, "ood_weight", "reduction", "phi", "pretrained", "snapshots"}
    unused |= {"new_head", "gru", "start"}
    if texts_:
        unused |= {"depth", "width", "stem", "dropout", "augment", "crop_padding", "flip"}
        found["gru"] = first.detector.gru.model_dump()
    return {
        "seeds": config.seeds,
        "threshold": config.metrics.threshold,
        **found,
        **_filtered(first),
        "detector": first.detector.model_dump(exclude=unused),
        "outlier_exposure": first.detector.outlier_exposure.model_dump(),
        "rows": {name: row.set for name, row in config.rows.items()},
    }
