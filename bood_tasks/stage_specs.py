"""One function a stage: the spec of its artifact, from a configuration. Imports no torch.

Each names exactly the settings that its stage uses: what is not listed here cannot cause a rerun.
"""

import json
from functools import cache
from pathlib import Path

from bood_tasks.catalogue import CATALOGUE
from bood_tasks.config import Config
from bood_tasks.registry import SCORES
from bood_tasks.sources import DATA, content_digest, locate
from bood_tasks.spec import Spec, readable, shard_range, version_of

EXTRA_STEPS_SHOWN = range(6)  # c, as in the paper's Figure 3
STEP_SIZE_FACTORS = (0.25, 0.5, 1, 2, 4)
OWN_SETTINGS = ("gan", "vos", "npos")  # sections of `detector` for one method each


@cache
def content(path: Path) -> str:
    """Return content_digest's answer; a plan asks hundreds of times, and each plan anew."""
    return content_digest(path)


def published_folder(config: Config, name: str) -> Path:
    """Return where a published data set should lie; it may not be there yet."""
    item = config.datasets[name]
    return Path(item.path or Path(config.run.data, item.kind))


def dataset(config: Config, name: str) -> Spec:
    """Spec of one materialised data set.

    A published one is known by its name and edition: planning needs none at hand, and tables can
    be rebuilt where only their artifacts were copied.
    """
    item = config.datasets[name]
    image = config.image.model_dump(exclude={"crop"})
    settings = item.model_dump() | {"name": name, "image": image}
    inputs, source = {}, ""
    if item.kind in CATALOGUE:
        del settings["path"]
        settings["edition"] = CATALOGUE[item.kind].edition
        return Spec("dataset", readable(name), settings, source=str(published_folder(config, name)))
    outside = {"npz": "file", "folder": "path"}.get(item.kind)
    if outside:
        path = locate(settings.pop(outside), f"datasets.{name}.{outside}")
        source, settings["content"] = str(path), content(path)
    if "of" in settings:
        inputs["of"] = dataset(config, settings.pop("of"))
    return Spec("dataset", readable(name), settings, inputs, source)


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
        if row.method == "dreamood" and row.outliers == "images":
            found = images(config.for_row(name), seed)
            return None if found == images(config, seed) else found
    return None


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


def detector(config: Config, row: str, seed: int) -> Spec:
    """Spec of a row's trained detector: its method, with the outliers that it takes."""
    own, outliers = config.for_row(row), config.rows[row].outliers
    shared = {"start", "ood_weight", "reduction", "phi", *OWN_SETTINGS}
    settings = own.detector.model_dump(exclude=shared)
    method, source = _method(own, row)
    settings |= {"seed": seed, "crop": own.image.crop, **method}
    inputs: dict = {"dataset": dataset(own, own.id)}
    if own.detector.start:
        settings["start"] = True
        inputs["start"] = detector(config, own.detector.start, seed)
    kind = config.rows[row].method
    if outliers == "images":
        inputs["images"] = images(own, seed)
        kind = inputs["images"][0].name.split("-seed")[0]
    elif outliers != "none":
        inputs["outliers"] = dataset(own, outliers)
        kind = outliers
    return Spec("detector", readable(kind, f"seed{seed}"), settings, inputs, source)


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
