"""The specs of outliers that are generated from latents or word by word. Imports no torch."""

from pathlib import Path

from bood_tasks.config import Config
from bood_tasks.dataset_specs import content, corpus, dataset, vocabulary
from bood_tasks.sources import locate
from bood_tasks.spec import Spec, readable, shard_range


def gan_generator(config: Config) -> Spec:
    """Spec of the class-conditional generator: weights at hand, or trained here."""
    item = config.gan_generator
    if item.source == "local":
        path = locate(item.path, "gan_generator.path")
        settings = {"source": "local", "layout": item.layout, "content": content(path)}
        if item.layout == "biggan-pytorch":
            settings["attention"] = item.attention
        return Spec("gan_generator", readable(path.stem), settings, {}, str(path))
    settings = {"source": "train", **item.train.model_dump()}
    inputs = {"dataset": dataset(config, config.id)}
    return Spec("gan_generator", readable(config.id), settings, inputs)


def _shards(count: int, size: int) -> list[tuple[int, int]]:
    """Return whole shards: how many items are used is the detector's setting, not theirs."""
    return [(start, start + size) for start in range(0, count, size)]


def gan_images(config: Config, seed: int) -> tuple[Spec, ...]:
    """Specs of the shards of a generator's pictures; more pictures add shards."""
    item = config.gan_images
    inputs = {"gan_generator": gan_generator(config)}
    settings = item.model_dump(exclude={"count", "shard"}) | {"seed": seed}
    kind = f"{item.meaning}{item.scale:g}"
    return tuple(
        Spec(
            "gan_images",
            readable(kind, f"seed{seed}", shard_range(start, stop)),
            settings | {"start": start, "stop": stop},
            inputs,
        )
        for start, stop in _shards(item.count, item.shard)
    )


def language_model(config: Config) -> Spec:
    """Spec of the language model: weights at hand, or trained here."""
    item, inputs = config.language_model, {"vocabulary": vocabulary(config)}
    if item.source == "local":
        path = locate(item.path, "language_model.path")
        settings = {"source": "local", "content": content(Path(path))}
        return Spec("language_model", readable(path.stem), settings, inputs, str(path))
    settings = {"source": "train", **item.train.model_dump()}
    inputs = {"corpus": corpus(config, config.id), **inputs}
    return Spec("language_model", readable(config.id), settings, inputs)


def texts(config: Config, seed: int) -> tuple[Spec, ...]:
    """Specs of the shards of sampled texts; more texts add shards."""
    item = config.texts
    inputs = {"language_model": language_model(config)}
    settings = item.model_dump(include={"temperature", "dtype"})
    settings |= {"words": config.tokens.words, "seed": seed}
    return tuple(
        Spec(
            "texts",
            readable(f"T{item.temperature:g}", f"seed{seed}", shard_range(start, stop)),
            settings | {"start": start, "stop": stop},
            inputs,
        )
        for start, stop in _shards(item.count, item.shard)
    )
