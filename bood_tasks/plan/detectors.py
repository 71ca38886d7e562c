"""The specs of detectors and of the outliers that they see. Imports no torch."""

from bood_tasks.artifacts.outside import locate
from bood_tasks.artifacts.spec import Spec, readable
from bood_tasks.catalogue.methods import KEYS, SECTIONS
from bood_tasks.catalogue.stages import method_version
from bood_tasks.config.root import Config
from bood_tasks.config.synthesis import GENERATED
from bood_tasks.networks.shapes import SHAPES, SHAPING
from bood_tasks.plan import networks
from bood_tasks.plan.datasets import code, dataset
from bood_tasks.plan.synthesis import anchors, gan_images, images, ood_features, texts
from bood_tasks.plan.weights import weights


def method_file(trained: Spec) -> str:
    """Return the file of one's own method that a detector needs to be read, "" without one."""
    return "" if trained.stage == "pretrained" else trained.source  # that of weights is no method


def outlier_filter(
    config: Config, own: Config, shards: tuple[Spec, ...], count: int | None, seed: int
) -> Spec | None:
    """Spec of what is kept of a generated source, whose settings are `own`; None: everything."""
    item = own.outlier_filter
    if item.max_confidence is None:
        return None
    judge = detector(config, item.row, seed)
    settings = item.model_dump(exclude={"row"}) | {"count": count, "crop": own.image.crop}
    inputs = {"outliers": shards, "detector": judge, "dataset": dataset(own, own.id)}
    kind = shards[0].name.split("-seed")[0]
    name = readable(kind, f"p{item.max_confidence:g}", f"seed{seed}")
    return Spec("outlier_filter", name, settings, inputs, method_file(judge))


def _made(
    config: Config, row: str, source: str, seed: int
) -> tuple[Config, tuple[Spec, ...], int | None]:
    """Return the configuration that a row's source is made by, its artifacts, and how many of
    their items are used (None: all)."""
    own, kind = config.for_source(row, source), config.kind_of(source)
    match kind:
        case "images":
            return own, images(own, seed), None
        case "gan":
            return own, gan_images(own, seed), own.gan_images.count
        case "texts":
            return own, texts(own, seed), own.texts.count
    return own, (dataset(own, kind),), None


def outliers(
    config: Config, row: str, seed: int
) -> tuple[list[dict], tuple[Spec, ...], tuple[Spec, ...]]:
    """Return a row's outlier sources, as the detector's settings name them, their artifacts, and
    the filters of those that are filtered.

    Of each source: its share of the outliers shown, how many of the artifacts, in order, are its
    own, and how many of their items are used (None: all).
    """
    given, named, found, filters = config.rows[row].outliers, [], [], []
    for source, weight in given.items():
        kind, (own, made, count) = config.kind_of(source), _made(config, row, source, seed)
        share = weight / sum(given.values())
        named.append({"weight": share, "artifacts": len(made), "count": count})
        found.extend(made)
        judged = kind in GENERATED and outlier_filter(config, own, made, count, seed)
        if judged:
            named[-1]["filtered"] = True
            filters.append(judged)
    return named, tuple(found), tuple(filters)


def unset(config: Config) -> set[str]:
    """Return the detector's settings that are off, or as all was before there was a choice: what
    is made without them is what it was before they came."""
    item = config.detector
    off = {name for name in ("soft_labels", "distance_margin") if getattr(item, name) is None}
    off |= {"soft_weight"} if "soft_labels" in off else set()
    before = {"outlier_kernel": "image", "batch_norm": "moving"}
    off |= {name for name, value in before.items() if getattr(item, name) == value}
    return off | ({"pixmix"} if item.pixmix.set is None else set())


def vectors(config: Config, row: str, seed: int, named: list[dict]) -> dict:
    """Return the inputs that tell how near a row's outliers are to the classes; say in `named`,
    its sources, which of them are decoded vectors."""
    found = []
    for source, entry in zip(config.rows[row].outliers, named, strict=True):
        own = config.for_source(row, source)
        if config.kind_of(source) == "images" and own.images.decode == "outliers":
            entry["temperature"] = own.encoder.temperature
            found.append(ood_features(own, seed))
    return {"vectors": tuple(found), "anchors": anchors(config)} if found else {}


def _method(config: Config, row: str) -> tuple[dict, str]:
    """Return what a row's method is made from, and the file of one's own if it is one.

    `config` holds the row's overrides.
    """
    entry, name = config.method(row), config.rows[row].method
    if name in config.methods:
        own = config.methods[name]
        path = locate(own.module, f"methods.{name}.module")
        made_from = {"method": name, "content": code(path), "method_settings": own.settings}
        return made_from, str(path)
    settings = config.detector.model_dump(include=set(entry.keys) - unset(config))
    if entry.section:
        settings |= getattr(config.detector, entry.section).model_dump()
    if entry.sized:
        settings["size"] = config.image.crop or config.image.size
    version = method_version(entry.module)
    return {"method": entry.module, "method_version": version, "method_settings": settings}, ""


def built_from(config: Config) -> dict:
    """Return what a row's classifier is built from."""
    item = config.detector
    if networks.given(config):
        return {"network": networks.described(config)}
    section = item.gru if item.network == "gru" else item
    return {"network": item.network, **section.model_dump(include=set(SHAPES[item.network]))}


def _built_by(config: Config) -> dict[str, Spec]:
    """Return the input that holds the files of a row's classifier, if it has any outside."""
    found = networks.network(config)
    return {"network": found} if found else {}


def pretrained(config: Config, seed: int) -> Spec:
    """Spec of a classifier's weights, released or local, as a detector's artifact."""
    item, source, name = config.detector, "", "onnx"
    settings = built_from(config) | {"new_head": item.new_head}
    if item.pretrained:
        given, path = weights(config, item.pretrained, "detector.pretrained")
        settings |= given
        source, name = str(path), path.stem
    if item.new_head:
        settings["seed"] = seed
    elif networks.given(config) and (names := networks.class_names(config)):
        settings["names"] = names
    inputs = {"dataset": dataset(config, config.id), **_built_by(config)}
    return Spec("pretrained", readable(name), settings, inputs, source)


def detector(config: Config, row: str, seed: int) -> Spec:
    """Spec of a row's trained detector: its method, with the outliers that it takes."""
    own = config.for_row(row)
    item = own.detector
    if item.epochs == 0:
        return pretrained(own, seed)
    method, source = _method(own, row)
    unused = {"start", "pretrained", "new_head", "gru", *SHAPING, *KEYS, *SECTIONS}
    settings = item.model_dump(exclude=unused | unset(own)) | built_from(own) | method
    settings |= {"seed": seed, "crop": own.image.crop}
    if method["method_settings"].get("weighting") == "batch":
        settings["mixing"] = "shuffled"
    inputs: dict = {"dataset": dataset(own, own.id), **_built_by(own)}
    if item.start or item.pretrained:
        settings["start"] = True
        start = detector(config, item.start, seed) if item.start else pretrained(own, seed)
        inputs["start"] = start
    named, found, filters = outliers(config, row, seed)
    if found:
        settings["sources"], inputs["outliers"] = named, found
        if {"soft_labels", "distance_margin"} & set(method["method_settings"]):
            inputs |= vectors(config, row, seed, named)
    else:
        del settings["outlier_fit"]
    if mixing := item.pixmix.set:
        _, made, count = _made(config, row, mixing, seed)
        settings["pixmix"] = item.pixmix.model_dump(exclude={"set"}) | {"count": count}
        inputs["mixing"] = made
    if not any(config.kind_of(source) in GENERATED for source in config.rows[row].outliers):
        settings.pop("outlier_kernel", None)
    if filters:
        inputs["outlier_filters"] = filters
    first = [found[sum(each["artifacts"] for each in named[:n])] for n in range(len(named))]
    kinds = "+".join(spec.name.split("-seed")[0] for spec in first)
    name = readable(settings["method"], kinds, f"seed{seed}")
    return Spec("detector", name, settings, inputs, source)
