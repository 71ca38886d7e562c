"""The specs of generators. Imports no torch."""

import json
from pathlib import Path

from bood_tasks import EMBEDDED
from bood_tasks.artifacts.outside import locate
from bood_tasks.artifacts.spec import Spec, readable
from bood_tasks.config.generators import GeneratorTraining
from bood_tasks.config.root import Config
from bood_tasks.plan.datasets import content, corpus, dataset, vocabulary, whole_id
from bood_tasks.plan.weights import weights

LATER = ("also", "vae_channels", "unet_channels", "ema", "precision", "minutes")


def gan_generator(config: Config) -> Spec:
    """Spec of the class-conditional generator: weights at hand, or trained here."""
    item = config.gan_generator
    if item.source == "local":
        given, path = weights(config, item.path, "gan_generator.path")
        settings = {"source": "local", "layout": item.layout, **given}
        if item.layout == "biggan-pytorch":
            settings["attention"] = item.attention
        return Spec("gan_generator", readable(path.stem), settings, {}, str(path))
    settings = {"source": "train", **item.train.model_dump()}
    inputs = {"dataset": dataset(config, config.id)}
    return Spec("gan_generator", readable(config.id), settings, inputs)


def language_model(config: Config) -> Spec:
    """Spec of the language model: weights at hand, or trained here."""
    if config.vocabulary.tokenizer:
        raise ValueError(
            "vocabulary.tokenizer must be null where outliers are texts of a language model, which "
            f"knows words and no special tokens, got {config.vocabulary.tokenizer}; take a data "
            "set as outliers"
        )
    item, inputs = config.language_model, {"vocabulary": vocabulary(config)}
    if item.source == "local":
        path = locate(item.path, "language_model.path")
        settings = {"source": "local", "content": content(Path(path), None)}
        return Spec("language_model", readable(path.stem), settings, inputs, str(path))
    settings = {"source": "train", **item.train.model_dump()}
    inputs = {"corpus": corpus(config, whole_id(config)), **inputs}
    return Spec("language_model", readable(config.id), settings, inputs)


def generator(config: Config) -> Spec:
    """Spec of the text-to-image pipeline: a folder, one fetched, or one trained here."""
    item, inputs, scaled = config.generator, {}, {}
    if item.lora.given:
        inputs, scaled = {"lora": lora(config)}, {"lora_scale": item.lora.scale}
    if item.source == "hub":
        settings = item.model_dump(include={"source", "repo", "revision"})
        return Spec("generator", readable(item.repo), settings | scaled, inputs)
    if item.source == "local":
        path = locate(item.path, "generator.path")
        settings = {"source": "local", "content": content(path, None)}
        return Spec("generator", "local", settings | scaled, inputs, str(path))
    chosen, usual = item.train.model_dump(), GeneratorTraining().model_dump()
    for name in LATER:  # a training that leaves them alone keeps its identity
        if chosen[name] == usual[name]:
            del chosen[name]
    settings = {"source": "train", "words": words(config), **chosen}
    source, start = "", settings.pop("init_from")
    if start:
        path = locate(start, "generator.train.init_from")
        source, settings["content"] = str(path), content(path, None)
    inputs = {"dataset": dataset(config, config.id)}
    if also := settings.pop("also", []):
        inputs["also"] = tuple(dataset(config, name) for name in also)
    return Spec("generator", "trained", settings, inputs, source)


def lora(config: Config) -> Spec:
    """Spec of the LoRA that is fused into the generator: a file, or one fetched."""
    item = config.generator.lora
    if item.repo is not None:
        settings = {"source": "hub"} | item.model_dump(include={"repo", "revision", "file"})
        return Spec("lora", readable(item.repo), settings)
    path = locate(item.path, "generator.lora.path")
    if path.suffix != ".safetensors" or not path.is_file():
        raise ValueError(
            f"generator.lora.path must be a .safetensors file, got {item.path}; other formats are "
            "not read"
        )
    return Spec("lora", "local", {"source": "local", "content": content(path, None)}, {}, str(path))


def words(config: Config) -> dict[str, str]:
    """Return the one-word aliases of class names: shipped ones, then the user's own."""
    shipped = {}
    if config.anchors.aliases != "none":
        aliases = json.loads((EMBEDDED / "class_aliases.json").read_text(encoding="utf-8"))
        shipped = aliases[config.anchors.aliases]
    return shipped | config.anchors.words
