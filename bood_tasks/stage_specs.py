"""One function a stage: the spec of its artifact, from a configuration. Imports no torch.

Each names exactly the settings that its stage uses: what is not listed here cannot cause a rerun.
"""

import json

from bood_tasks.config import Config
from bood_tasks.dataset_specs import content, dataset
from bood_tasks.registry import SCORES
from bood_tasks.source_specs import gan_images, texts
from bood_tasks.sources import DATA, locate
from bood_tasks.spec import Spec, readable, shard_range, version_of

EXTRA_STEPS_SHOWN = range(6)  # c, as in the paper's Figure 3
STEP_SIZE_FACTORS = (0.25, 0.5, 1, 2, 4)
OWN_SETTINGS = ("gan", "vos", "npos", "outlier_exposure")  # sections of `detector`, a method each


def generator(config: Config) -> Spec:
    """Spec of the text-to-image pipeline: a folder, one fetched, or one trained here."""
    item = config.generator
    if item.source == "hub":
        settings = item.model_dump(include={"source", "repo", "revision"})
        return Spec("generator", readable(item.repo), settings)
    if item.source == "local":
        path = locate(item.path, "generator.path")
        settings = {"source": "local", "content": content(path)}
        return Spec("generator", "local", settings, {}, str(path))
    settings = {"source": "train", "words": words(config), **item.train.model_dump()}
    source, start = "", settings.pop("init_from")
    if start:
        path = locate(start, "generator.train.init_from")
        source, settings["content"] = str(path), content(path)
    inputs = {"dataset": dataset(config, config.id)}
    return Spec("generator", "trained", settings, inputs, source)


def words(config: Config) -> dict[str, str]:
    """Return the one-word aliases of class names: shipped ones, then the user's own."""
    shipped = {}
    if config.anchors.aliases != "none":
        aliases = json.loads((DATA / "class_aliases.json").read_text(encoding="utf-8"))
        shipped = aliases[config.anchors.aliases]
    return shipped | config.anchors.words


def anchors(config: Config) -> Spec:
    """Spec of the class anchors."""
    inputs = {"generator": generator(config), "dataset": dataset(config, config.id)}
    return Spec("anchors", readable(config.id), {"words": words(config)}, inputs)


def encoder(config: Config, seed: int) -> Spec:
    """Spec of the image encoder."""
    item = config.encoder
    inputs = {"dataset": dataset(config, config.id), "anchors": anchors(config)}
    name = readable(f"resnet{item.depth}", f"w{item.width}", f"seed{seed}")
    settings = item.model_dump() | {"seed": seed, "crop": config.image.crop}
    return Spec("encoder", name, settings, inputs)


def features(config: Config, seed: int) -> Spec:
    """Spec of the training split's features."""
    inputs = {
        "dataset": dataset(config, config.id),
        "encoder": encoder(config, seed),
        "anchors": anchors(config),
    }
    settings = {"crop": config.image.crop}
    return Spec("features", readable(config.id, f"seed{seed}"), settings, inputs)


def _stepping(config: Config) -> dict:
    stepping = config.distances.model_dump(exclude={"rows"})
    return stepping | {"temperature": config.encoder.temperature}


def distances(config: Config, seed: int) -> Spec:
    """Spec of the step counts to the decision boundary.

    All rows are stepped for a selection that does not take the nearest.
    """
    chosen = config.ood_features
    nearest = chosen.sampler == "bood" and chosen.select == "boundary"
    settings = _stepping(config) | {"rows": config.distances.rows if nearest else "all"}
    if settings["rows"] == "nearest":
        settings |= chosen.model_dump(include={"rate", "scope", "misclassified"})
    inputs = {"features": features(config, seed), "anchors": anchors(config)}
    name = readable(f"alpha{config.distances.step_size:g}", f"seed{seed}")
    return Spec("distances", name, settings, inputs)


def sampling(config: Config) -> dict:
    """Return the settings that the chosen sampler of outlier vectors reads, and no others."""
    item = config.ood_features
    if item.sampler == "dreamood":
        return {
            "sampler": item.sampler, "rescale": item.rescale, **item.dreamood.model_dump()
        }  # fmt: skip
    unused = {"dreamood"}
    if item.perturb != "gaussian":
        unused.add("sigma")
    if item.perturb != "centroid":
        unused.add("shift")
    if item.perturb != "adversarial":
        unused.add("extra_steps")
    return item.model_dump(exclude=unused)


def ood_features(config: Config, seed: int) -> Spec:
    """Spec of the outlier vectors."""
    item = config.ood_features
    settings = sampling(config) | {"seed": seed}
    inputs = {"features": features(config, seed), "anchors": anchors(config)}
    if item.sampler == "dreamood":
        return Spec("ood_features", readable("dreamood", f"seed{seed}"), settings, inputs)
    settings |= _stepping(config)
    inputs["distances"] = distances(config, seed)
    name = readable(item.select, item.perturb, f"seed{seed}")
    return Spec("ood_features", name, settings, inputs)


def _decoding(config: Config, seed: int) -> dict:
    return config.images.model_dump(exclude={"per_class", "shard", "decode", "words"}) | {
        "seed": seed
    }


def images(config: Config, seed: int) -> tuple[Spec, ...]:
    """Specs of the image shards: index ranges, each over every class.

    The number of images is not part of a shard's identity: more images add shards.
    """
    item = config.images
    inputs = {"generator": generator(config), "anchors": anchors(config)}
    settings = _decoding(config, seed) | {"decode": item.decode}
    kind = item.decode
    if item.decode == "outliers":
        inputs["ood_features"] = ood_features(config, seed)
        kind = inputs["ood_features"].name.removesuffix(f"-seed{seed}")
    elif item.decode == "words":
        settings["words"] = item.words
    shards = []
    for start in range(0, item.per_class, item.shard):
        stop = min(start + item.shard, item.per_class)
        name = readable(kind, f"seed{seed}", shard_range(start, stop))
        shards.append(Spec("images", name, settings | {"start": start, "stop": stop}, inputs))
    return tuple(shards)


def id_images(config: Config, seed: int, per_class: int) -> tuple[Spec, ...]:
    """Specs of a few decodes of the plain class anchors, for the contact sheets."""
    plain = {"decode": "anchors", "per_class": per_class}
    return images(
        config.model_copy(update={"images": config.images.model_copy(update=plain)}), seed
    )


def trajectory(config: Config, seed: int) -> Spec:
    """Spec of one feature's way across the boundary, decoded step by step."""
    inputs = {
        "features": features(config, seed),
        "distances": distances(config, seed),
        "anchors": anchors(config),
        "generator": generator(config),
    }
    settings = _stepping(config) | _decoding(config, seed)
    settings |= {
        "extra_steps": config.ood_features.extra_steps,
        "rescale": config.ood_features.rescale,
    }
    return Spec("trajectory", readable(config.id, f"seed{seed}"), settings, inputs)


def strips(config: Config, seed: int) -> Spec:
    """Spec of a few features decoded for several c and several α, beside the settings' own."""
    like, extra = trajectory(config, seed), config.ood_features.extra_steps
    settings = like.settings | {
        "extra_steps_shown": sorted({*EXTRA_STEPS_SHOWN, extra}),
        "step_sizes_shown": [config.distances.step_size * each for each in STEP_SIZE_FACTORS],
    }
    return Spec("strips", like.name, settings, like.inputs)


def dreamood_images(config: Config, seed: int) -> tuple[Spec, ...] | None:
    """Specs of the first DreamOOD row's images; None without one, or if they are `images`."""
    for name, row in config.rows.items():
        if row.method == "dreamood" and list(row.outliers) == ["images"]:
            found = images(config.for_row(name), seed)
            return None if found == images(config, seed) else found
    return None


def outliers(config: Config, row: str, seed: int) -> tuple[list[dict], tuple[Spec, ...]]:
    """Return a row's outlier sources, as the detector's settings name them, and their artifacts.

    Of each: its share of the outliers shown, how many of the artifacts, in order, are its own, and
    how many of their items are used (None: all).
    """
    given, named, found = config.rows[row].outliers, [], []
    for source, weight in given.items():
        own, kind, count = config.for_source(row, source), config.kind_of(source), None
        match kind:
            case "images":
                made = images(own, seed)
            case "gan":
                made, count = gan_images(own, seed), own.gan_images.count
            case "texts":
                made, count = texts(own, seed), own.texts.count
            case _:
                made = (dataset(own, kind),)
        share = weight / sum(given.values())
        named.append({"weight": share, "artifacts": len(made), "count": count})
        found.extend(made)
    return named, tuple(found)


def _method(config: Config, row: str) -> tuple[dict, str]:
    """Return what a row's method is made from, and the file of one's own if it is one.

    `config` holds the row's overrides.
    """
    entry, name = config.method(row), config.rows[row].method
    if name in config.methods:
        own = config.methods[name]
        path = locate(own.module, f"methods.{name}.module")
        made_from = {"method": name, "content": content(path), "method_settings": own.settings}
        return made_from, str(path)
    given = {}
    if entry.module == "energy_regulariser":
        given = config.detector.model_dump(include={"ood_weight", "reduction", "phi"})
    elif entry.module in OWN_SETTINGS:
        given = getattr(config.detector, entry.module).model_dump()
    if entry.module == "gan":
        given["size"] = config.image.crop or config.image.size
    version = version_of(entry.module)
    return {"method": entry.module, "method_version": version, "method_settings": given}, ""


def _network(config: Config) -> dict:
    """Return what a row's classifier is built from."""
    item = config.detector
    match item.network:
        case "resnet":
            shape = item.model_dump(include={"depth", "width", "stem"})
        case "wideresnet":
            shape = item.model_dump(include={"depth", "width", "dropout"})
        case "gru":
            shape = item.gru.model_dump()
        case _:
            shape = {}
    return {"network": item.network, **shape}


def pretrained(config: Config, seed: int) -> Spec:
    """Spec of a classifier's local weights as a detector's artifact."""
    path = locate(config.detector.pretrained, "detector.pretrained")
    settings = _network(config) | {"content": content(path), "new_head": config.detector.new_head}
    if config.detector.new_head:
        settings["seed"] = seed
    inputs = {"dataset": dataset(config, config.id)}
    return Spec("pretrained", readable(path.stem), settings, inputs, str(path))


def detector(config: Config, row: str, seed: int) -> Spec:
    """Spec of a row's trained detector: its method, with the outliers that it takes."""
    own = config.for_row(row)
    item = own.detector
    if item.epochs == 0:
        return pretrained(own, seed)
    method, source = _method(own, row)
    shape = {"network", "depth", "width", "stem", "dropout", "gru"}
    unused = {"start", "pretrained", "new_head", "ood_weight", "reduction", "phi", *OWN_SETTINGS}
    settings = item.model_dump(exclude=shape | unused) | _network(own) | method
    settings |= {"seed": seed, "crop": own.image.crop}
    if method["method_settings"].get("weighting") == "batch":
        settings["mixing"] = "shuffled"
    inputs: dict = {"dataset": dataset(own, own.id)}
    if item.start or item.pretrained:
        settings["start"] = True
        start = detector(config, item.start, seed) if item.start else pretrained(own, seed)
        inputs["start"] = start
    named, found = outliers(config, row, seed)
    if found:
        settings["sources"], inputs["outliers"] = named, found
    first = [found[sum(each["artifacts"] for each in named[:n])] for n in range(len(named))]
    kinds = "+".join(spec.name.split("-seed")[0] for spec in first)
    name = readable(settings["method"], kinds, f"seed{seed}")
    return Spec("detector", name, settings, inputs, source)


def evaluated(config: Config) -> list[str]:
    """Return the names of the data sets that figures are of, and of the ID one."""
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
    return Spec("outputs", name, settings, inputs, trained.source)


def scores(config: Config, row: str, seed: int, score: str) -> Spec:
    """Spec of one score of one detector: of every sample of every data set."""
    entry, own = SCORES[score], config.for_row(row)
    found = outputs(config, row, seed, training=False)
    inputs: dict = {"outputs": found}
    settings: dict = {"score": score, "id": config.id}
    if hasattr(own.scoring, score):
        settings |= getattr(own.scoring, score).model_dump()
    if entry.validated:
        settings["validation"] = config.validation
    if entry.fits:
        inputs["training"] = outputs(config, row, seed, training=True)
    source = ""
    if entry.linear or entry.gradients:
        inputs["detector"] = found.inputs["detector"]
        source = inputs["detector"].source
    if entry.gradients:
        inputs["datasets"] = found.inputs["datasets"]
        settings |= {"datasets": found.settings["datasets"], "crop": config.image.crop}
    return Spec("scores", readable(found.name, score), settings, inputs, source)
