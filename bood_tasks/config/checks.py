"""Checks over several settings: they refuse, and change nothing."""

from bood_tasks.catalogue.augmentations import resizes_parts, views
from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.catalogue.methods import METHODS
from bood_tasks.catalogue.metrics import AVERAGE
from bood_tasks.catalogue.scores import SCORES
from bood_tasks.catalogue.titles import FORMULA
from bood_tasks.config.datasets import (
    FOLDS,
    OWN_PICTURES,
    READ_KINDS,
    has_training,
    is_text,
    per_class,
)
from bood_tasks.config.detectors import OutlierFilter
from bood_tasks.config.explain import closest
from bood_tasks.config.given import check_network
from bood_tasks.config.methods import Queued
from bood_tasks.config.read_off import check_scores, held_out
from bood_tasks.config.root import Config
from bood_tasks.config.shown import check_shown
from bood_tasks.config.synthesis import GENERATED

MOST_SHARDS = 100_000  # of one source, each a job or a part of one


def check(config: Config) -> None:
    """Raise ValueError, naming the setting, if the settings do not fit together."""
    _check_names(config)
    _check_datasets(config)
    _check_learned(config)
    _check_whole(config)
    _check_shards(config)
    for name in config.rows:
        check_scores(config, name)
        check_row(config, name)


def _check_names(config: Config) -> None:
    """Raise ValueError for names that mean nothing or two things."""
    taken = sorted(set(config.methods) & set(METHODS))
    if taken:
        raise ValueError(f"methods.{taken[0]} must have another name: the catalogue has it")
    taken = sorted(set(config.scores) & set(SCORES))
    if taken:
        raise ValueError(f"scores.{taken[0]} must have another name: the catalogue has it")
    for section in ("datasets", "sources"):
        for name in {*GENERATED, "none"} & set(getattr(config, section)):
            raise ValueError(f"{section}.{name} must have another name: it is an outlier source")
    if AVERAGE in config.datasets:
        raise ValueError(
            f"datasets.{AVERAGE} must have another name: the tables call the average over the test "
            "sets so"
        )
    for group, names in config.metrics.groups.items():
        if unknown := [name for name in names if name not in config.test]:
            raise ValueError(
                f"metrics.groups.{group} must name test sets, got {unknown[0]!r}"
                f"{closest(unknown[0], config.test)}; `test` has {', '.join(config.test)}"
            )
    for name, row in config.rows.items():
        if row.variant and row.variant[0] in FORMULA:
            raise ValueError(
                f"rows.{name}.variant must not begin with one of = + - @ or a tab, got "
                f"{row.variant!r}: a spreadsheet that opens the tables would run it"
            )
    known = set(config.datasets)
    for name in set(config.sources) & known:
        raise ValueError(f"sources.{name} must have another name: a data set has it")
    for name, row in config.rows.items():
        if row.method not in METHODS and row.method not in config.methods:
            hint = closest(row.method, {*METHODS, *config.methods})
            raise ValueError(
                f"rows.{name}.method must be a method of the catalogue or of `methods`, "
                f"got {row.method!r}{hint}"
            )
        for score in row.scores:
            if score not in SCORES and score not in config.scores:
                hint = closest(score, {*SCORES, *config.scores})
                raise ValueError(
                    f"rows.{name}.scores must name scores of the catalogue or of `scores`, got "
                    f"{score!r}{hint}"
                )
        sources = {*GENERATED, *config.sources, *known}
        for source in set(row.outliers) - sources:
            raise ValueError(
                f"rows.{name}.outliers must name a data set or an outlier source, got "
                f"{source!r}{closest(source, sources)}"
            )
    used = {"id": [config.id], "test": config.test, "validation": config.validation}
    used |= {"control": config.control}
    used |= {
        f"datasets.{name}.of": [item.of] for name, item in config.datasets.items()
        if hasattr(item, "of")
    }  # fmt: skip
    for setting, names in used.items():
        for name in names:
            if name not in known:
                raise ValueError(
                    f"{setting} must name a data set, got {name!r}{closest(name, known)}"
                )
    if len(set(config.seeds)) < len(config.seeds):
        raise ValueError(f"seeds must differ, got {config.seeds}")
    labels = [(row.method, row.variant) for row in config.rows.values()]
    if len(set(labels)) < len(labels):
        raise ValueError(f"rows must differ in method or variant, got {labels}")


def _check_datasets(config: Config) -> None:
    """Raise ValueError for data sets that cannot serve where they are named."""
    read = {name for name, item in config.datasets.items() if item.kind in READ_KINDS}
    for name, item in config.datasets.items():
        if item.kind == "text_fold":
            _check_text_fold(config, name)
        elif hasattr(item, "of") and item.of not in read:
            raise ValueError(
                f"datasets.{name}.of must name a data set read from files, got {item.of!r}"
            )
        if item.kind == "resampled" and item.size >= config.image.size:
            raise ValueError(
                f"datasets.{name}.size must be below image.size = {config.image.size}, got "
                f"{item.size}: nothing would be lost on the way; lower it"
            )
        _check_classes(config, name)
    if not has_training(config.datasets[config.id]):
        raise ValueError(
            f"id must name a data set with training data, got {config.id!r}; "
            f"give datasets.{config.id}.train, or classes for texts"
        )
    if getattr(config.datasets[config.id], "shrink", "image") != "image":
        raise ValueError(
            f"datasets.{config.id}.shrink must be image for the ID data set, got random: what "
            "users score is resized by one kernel"
        )
    if config.validation and not held_out(config, config.id):
        raise ValueError(
            f"validation must be empty while datasets.{config.id}.validation_per_class is 0: "
            f"{', '.join(config.validation)} would have no ID pictures beside them; hold some out"
        )
    for name in {*config.test, *config.validation, *config.control}:
        item = config.datasets[name]
        made_of_them = item.kind == "corrupted" or item.kind in FOLDS
        if made_of_them and not held_out(config, item.of):
            raise ValueError(
                f"datasets.{name}.of must name a data set with pictures held out, which are "
                f"taken, got {item.of!r} with validation_per_class 0; hold some out"
            )
    texts = is_text(config.datasets[config.id])
    named = {"test": config.test, "validation": config.validation, "control": config.control}
    for name, row in config.rows.items():
        named[f"rows.{name}.outliers"] = [config.kind_of(source) for source in row.outliers]
    for setting, names in named.items():
        for name in names:
            holds = name == "texts" if name in GENERATED else is_text(config.datasets[name])
            if holds != texts:
                words = ("texts", "pictures")[:: 1 if texts else -1]
                raise ValueError(
                    f"{setting} must name {words[0]}, as id = {config.id} holds, got {name!r}, "
                    f"which holds {words[1]}"
                )


def _check_text_fold(config: Config, name: str) -> None:
    """Raise ValueError for classes of what are no texts with classes."""
    of = config.datasets[name].of
    item = config.datasets[of]
    if not is_text(item) or item.kind in FOLDS or not has_training(item):
        raise ValueError(f"datasets.{name}.of must name texts with classes, got {of!r}")


def _check_learned(config: Config) -> None:
    """Raise ValueError for a data set that a generator must not learn beside the ID one.

    Outliers of a generator that knows a test set would show what the test asks for.
    """
    if config.generator.source != "train":
        return
    tested = {name: "test" for name in config.test}
    tested |= {name: "validation" for name in config.validation}
    tested |= {name: "control" for name in config.control}
    kinds = {item.kind: name for name, item in config.datasets.items() if name in tested}
    for name in config.generator.train.also:
        setting = "generator.train.also"
        if name not in config.datasets:
            hint = closest(name, config.datasets)
            raise ValueError(f"{setting} must name data sets, got {name!r}{hint}")
        kind = config.datasets[name].kind
        if is_text(config.datasets[name]) or kind not in READ_KINDS:
            raise ValueError(
                f"{setting} must name pictures read from files, got {name!r} of kind {kind}"
            )
        twin = name if name in tested else kinds.get(kind) if kind in CATALOGUE else None
        if name == config.id or twin:
            why = f"{twin} is one of `{tested[twin]}`" if twin else "it is the ID data set"
            raise ValueError(
                f"{setting} must name data sets that nothing is tested on, got {name!r}: {why}"
            )


def _check_classes(config: Config, name: str) -> None:
    """Raise ValueError for classes of which one can be no class of its own."""
    classes = getattr(config.datasets[name], "classes", None)
    if classes is None:
        return
    if name == config.id and len(classes) < 2:
        raise ValueError(
            f"datasets.{name}.classes must name at least two classes for the ID data set, got "
            f"{len(classes)}; name more"
        )
    labels = classes.values() if isinstance(classes, dict) else classes
    if len(set(labels)) < len(classes):
        raise ValueError(
            f"datasets.{name}.classes must give each class a label of its own, got {classes}"
        )


def _check_shards(config: Config) -> None:
    """Raise ValueError for more shards than can be planned."""
    for section, count in (("images", "per_class"), ("gan_images", "count"), ("texts", "count")):
        item = getattr(config, section)
        if getattr(item, count) > MOST_SHARDS * item.shard:
            raise ValueError(
                f"{section}.shard must be at least a {MOST_SHARDS:,}th of {section}.{count}, got "
                f"{item.shard} of {getattr(item, count)}; raise it: every shard is planned"
            )


def _check_whole(config: Config) -> None:
    """Raise ValueError for whole pictures that are those stored anyway, or that nothing takes parts
    of."""
    if not config.image.whole:
        return
    kind = config.datasets[config.id].kind
    if kind not in OWN_PICTURES and getattr(CATALOGUE.get(kind), "family", "") != "tree":
        raise ValueError(
            f"image.whole must be false for id = {config.id}, got true: pictures of kind {kind} "
            "have all one shape; folders' and ImageNet's differ"
        )
    trained = [config.encoder, *(config.for_row(name).detector for name in config.rows)]
    if not any(resizes_parts(item.augment) for item in trained):
        raise ValueError(
            "image.whole must be false, got true: no training takes resized parts of pictures; "
            "write augment: resized_crop for the encoder or the detector"
        )


def _check_words(config: Config, name: str) -> None:
    """Raise ValueError for random or sampled texts of no length, where no text is cut."""
    if config.for_row(name).tokens.words is not None:
        return
    for source in (*config.rows[name].outliers, *config.test, *config.validation, *config.control):
        item, setting = config.datasets.get(source), f"datasets.{source}.words"
        if config.kind_of(source) == "texts":
            item, setting = config.for_source(name, source).texts, "texts.words"
        elif getattr(item, "kind", "") != "random_tokens":
            continue
        if item.words is None:
            raise ValueError(
                f"{setting} must be a number while tokens.words is null (no text is cut), got "
                "null; GOE has 20"
            )


def check_row(config: Config, name: str) -> None:
    """Raise ValueError for overrides that do not fit, or a detector that starts from none."""
    changed, rows = config.for_row(name), {name}
    _check_words(config, name)
    for source in config.rows[name].outliers:
        own = config.for_source(name, source)
        _check_filter(config, own.outlier_filter)
        if config.kind_of(source) == "gan":
            _check_statistics(own)
    texts = is_text(config.datasets[config.id])
    check_shown(changed, name)
    check_network(changed, texts=texts)
    if changed.detector.start and changed.detector.pretrained:
        raise ValueError(
            f"detector.start and detector.pretrained must not both be given, got both for row "
            f"{name}; a row starts from another row or from a file"
        )
    for section in ("encoder", "detector"):
        smaller = config.image.crop is not None and config.image.crop < config.image.size
        if getattr(changed, section).augment == "resized_crop" and not smaller:
            raise ValueError(
                f"{section}.augment: resized_crop must have an image.crop below "
                f"image.size = {config.image.size}, got {config.image.crop}"
            )
    section, pictures = config.method(name).section, per_class(config.datasets[config.id])
    settings = getattr(changed.detector, section) if section else None
    if isinstance(settings, Queued) and pictures:
        shown = pictures * views(changed.detector.augment)
        require_full_queue(
            settings, f"detector.{section}", epochs=changed.detector.epochs, pictures=shown
        )
    while (start := changed.detector.start) is not None:
        if start not in config.rows:
            raise ValueError(
                f"detector.start must name a row, got {start!r}{closest(start, config.rows)}"
            )
        if start in rows:
            raise ValueError(
                f"detector.start must not lead back to the same row, got {start!r} for row "
                f"{name}; give it rows.{start}.set.detector.start: null"
            )
        rows.add(start)
        changed = config.for_row(start)


def _check_statistics(config: Config) -> None:
    """Raise ValueError for standing statistics of a generator that never had any of its own."""
    generator, layout = config.gan_generator, "pytorch-pretrained-biggan"
    released = generator.source == "local" and generator.layout == layout
    if released and config.gan_images.statistics == "standing":
        raise ValueError(
            f"gan_images.statistics must be stored for gan_generator.layout: {layout}, whose "
            "weights hold those of the training alone, got standing"
        )


def _check_filter(config: Config, settings: OutlierFilter) -> None:
    """Raise ValueError if outliers are judged by a row that is not there or needs outliers."""
    if settings.max_confidence is None:
        return
    if settings.row not in config.rows:
        raise ValueError(
            f"outlier_filter.row must name a row, got {settings.row!r}"
            f"{closest(settings.row, config.rows)}"
        )
    if config.rows[settings.row].outliers or config.for_row(settings.row).detector.start:
        raise ValueError(
            f"outlier_filter.row must name a row without outliers that starts from no other row, "
            f"got {settings.row!r}; add a row of method ce and name it"
        )


def require_full_queue(settings: Queued, section: str, *, epochs: int, pictures: int) -> None:
    """Raise ValueError if a class's queue cannot be full when the first outliers are drawn."""
    most = round(settings.start * epochs * pictures)
    if settings.queue > most:
        raise ValueError(
            f"{section}.queue must be at most {most}, which a class of {pictures} pictures fills "
            f"in the share {settings.start:g} of {epochs} epochs, got {settings.queue}; lower it, "
            f"write auto, or raise {section}.start or detector.epochs"
        )
