"""The choices that decide the numbers, for the tables' footnotes."""

from collections.abc import Iterable
from pathlib import Path

from bood_tasks.artifacts.code import says
from bood_tasks.artifacts.outside import SHIPPED, locate
from bood_tasks.catalogue.methods import KEYS, SECTIONS
from bood_tasks.catalogue.titles import row_name
from bood_tasks.config.datasets import is_text
from bood_tasks.config.root import Config
from bood_tasks.networks.shapes import SHAPING
from bood_tasks.plan import networks
from bood_tasks.plan import synthesis as stages
from bood_tasks.plan.detectors import built_from, unset


def _detector(config: Config, unused: Iterable[str]) -> dict:
    """Return the detectors' settings, of a network those that it is built from."""
    given = networks.given(config)
    unbuilt = SHAPING - ({} if given else built_from(config)).keys()
    found = config.detector.model_dump(exclude=unbuilt | {*unused} | unset(config))
    if mixed := found.get("pixmix"):
        found["pixmix"] = ", ".join(f"{key} {value}" for key, value in mixed.items())
    if given:  # where it lies is no choice
        found["network"] = f"{given.source}: {Path(getattr(given, given.source)).name}"
    return found


def _filtered(config: Config) -> dict:
    """Return the outlier filter's settings, if there is one."""
    item = config.outlier_filter
    return {} if item.max_confidence is None else {"outlier_filter": item.model_dump()}


def _image(config: Config) -> dict:
    """Return how pictures are fitted; whether they lie there whole, too, only where they do."""
    return config.image.model_dump(exclude=set() if config.image.whole else {"whole"})


def notes(config: Config, rows: Iterable[str]) -> dict:
    """Return the choices behind BOOD's tables and figures of these rows."""
    rows = list(rows)
    modules = {config.method(name).module for name in rows}
    scores = {score for name in rows for score in config.rows[name].scores}
    own = {x: getattr(config.detector, x).model_dump() for x in SECTIONS if x in modules}
    for sampler in sorted({stages.sampler_of(config, name) for name in rows}):
        if section := stages.sampler_section(config, sampler):
            own[sampler if sampler not in own else f"{sampler}_vectors"] = section
    unsaved = set() if config.images.saved_size else {"kernel"}
    return {
        **_of_all(config, rows),
        "image": _image(config),
        "encoder": config.encoder.model_dump(),
        "distances": stages.stepping(config),
        "ood_features": stages.sampling(config),
        "images": config.images.model_dump(exclude={"shard"} | unsaved),
        "detector": _detector(config, [*SECTIONS, "gru", "snapshots"]),
        **own,
        **config.scoring.model_dump(include=scores),
        **{x: config.scores[x].settings for x in sorted(scores & set(config.scores))},
        **_filtered(config),
    }


def goe_notes(config: Config) -> dict:
    """Return the choices behind GOE's tables and figures: those of the first row of its method."""
    trained = next((name for name in config.rows if config.method(name).goe), None)
    first = config.for_row(trained) if trained else config
    kinds = {config.kind_of(name) for row in config.rows.values() for name in row.outliers}
    of_texts = is_text(config.datasets[config.id])
    sections = ["tokens", "vocabulary", "texts"] if of_texts else []
    sections += ["gan_images"] if "gan" in kinds else []
    unset = set() if first.vocabulary.tokenizer else {"tokenizer"}
    found = {name: getattr(first, name).model_dump(exclude={"shard"} | unset) for name in sections}
    if not of_texts:
        found["image"] = _image(first)
    for name, kind in (("gan_generator", "gan"), ("language_model", "texts")):
        if kind in kinds:  # a path is no choice: what lies there is in the digests
            generator = getattr(first, name)
            local = generator.source == "local"
            found[name] = {"source": "local"} if local else generator.train.model_dump()
    unused = {"crop_padding"} if first.detector.augment == "none" else set()
    unused |= {*KEYS, *SECTIONS, "pretrained", "snapshots", "new_head", "gru", "start"}
    if of_texts:
        unused |= {"augment", "crop_padding", "flip"}
        found["gru"] = first.detector.gru.model_dump()
    return {
        **_of_all(config, config.rows),
        **found,
        **_filtered(first),
        "detector": _detector(first, unused),
        "outlier_exposure": first.detector.outlier_exposure.model_dump(),
    }


def _of_all(config: Config, rows: Iterable[str]) -> dict:
    return {
        "seeds": config.seeds,
        **config.metrics.told(),
        "rows": {name: config.rows[name].set for name in rows},
    }


def own_words(config: Config) -> dict[str, str]:
    """Return what each method and score of one's own says of itself: its docstring's first line."""
    own = {"methods": config.methods, "scores": config.scores}
    return {
        name: says(locate(item.module, f"{section}.{name}.module"))
        or "Of your own; its file has no docstring."
        for section, items in own.items()
        for name, item in items.items()
    }


def grey_outliers(config: Config) -> list[str]:
    """Return the rows whose outliers a shipped generator draws: grey, as what it was trained on."""
    return [
        row_name(row.method, row.variant)
        for name, row in config.rows.items()
        if any(_draws_grey(config.for_source(name, x), config.kind_of(x)) for x in row.outliers)
    ]


def _draws_grey(config: Config, kind: str) -> bool:
    generator = {"images": config.generator, "gan": config.gan_generator}.get(kind)
    return generator is not None and str(generator.path).startswith(SHIPPED)


def trained(config: Config) -> dict[str, dict]:
    """Return by `method|variant` how long the rows train that begin with random weights."""
    found = {}
    for name, row in config.rows.items():
        item = config.for_row(name).detector
        if not (item.start or item.pretrained):
            lengths = item.model_dump(include={"epochs", "steps", "batch_size"})
            found[f"{row.method}|{row.variant}"] = lengths
    return found
