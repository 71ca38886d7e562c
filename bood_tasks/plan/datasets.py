"""The specs of the data sets: pictures, or texts as a classifier reads them. Imports no torch."""

from functools import cache
from pathlib import Path

from bood_tasks.artifacts.code import code_digest
from bood_tasks.artifacts.outside import READ_OF_FOLDERS, content_digest, lists_digest, locate
from bood_tasks.artifacts.spec import Spec, readable
from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.config.datasets import FOLDS, PUBLISHED_TEXTS, is_text
from bood_tasks.config.root import Config

OOD = "ood"  # the role of a data set of which every picture or text is taken


@cache
def content(path: Path, suffixes: tuple[str, ...] | None) -> str:
    """Return content_digest's answer; a plan asks hundreds of times, and each plan anew."""
    return content_digest(path, suffixes)


@cache
def _lists_content(
    root: Path, lists: tuple[tuple[str, str], ...], pictures: str, setting: str
) -> str:
    """Return lists_digest's answer, likewise."""
    return lists_digest(root, dict(lists), pictures, setting)


def labelled(config: Config, name: str) -> bool:
    """Whether a data set's classes and splits count: the ID data set's, and those of a set whose
    validation pictures are corrupted or whose classes are parted. Of all others every picture or
    text is taken."""
    kinds = ("corrupted", *FOLDS)
    return name == config.id or name in {x.of for x in config.datasets.values() if x.kind in kinds}


def whole_id(config: Config) -> str:
    """Return the name of the ID data set, with the classes that a fold of it leaves out."""
    item = config.datasets[config.id]
    return item.of if item.kind in FOLDS else config.id


@cache
def code(path: Path) -> str:
    """Return code_digest's answer, likewise."""
    return code_digest(path)


def published_folder(config: Config, name: str) -> Path:
    """Return where a published data set should lie; it may not be there yet."""
    item = config.datasets[name]
    return Path(item.path or Path(config.run.data, item.kind))


def dataset(config: Config, name: str) -> Spec:
    """Spec of one materialised data set: pictures, or texts as tokens.

    A published one is known by its name and edition: planning needs none at hand, and tables can
    be rebuilt where only their artifacts were copied.
    """
    item = config.datasets[name]
    if is_text(item):
        return tokens(config, name)
    image = config.image.model_dump(exclude={"crop", "whole"})
    settings = item.model_dump() | {"name": name, "image": image}
    if settings.get("shrink") == "image":  # as before there was a choice
        del settings["shrink"]
    if config.image.whole and name == config.id:
        settings["whole"] = True
    inputs, source = {}, ""
    if item.kind in CATALOGUE:
        del settings["path"]
        if settings["test_count"] is None:  # a set that is not cut keeps its identity
            del settings["test_count"]
        settings["edition"] = CATALOGUE[item.kind].edition
        return Spec("dataset", readable(name), settings, source=str(published_folder(config, name)))
    if item.kind == "imglist":
        return _listed(config, name, settings)
    outside = {"npz": "file", "folder": "path"}.get(item.kind)
    if outside:
        path = locate(settings.pop(outside), f"datasets.{name}.{outside}")
        source, settings["content"] = str(path), content(path, READ_OF_FOLDERS["dataset"])
        if item.kind == "folder" and not labelled(config, name):
            settings["role"] = OOD
            for share in ("validation", "test"):
                del settings[share]
    if "of" in settings:
        inputs["of"] = dataset(config, settings.pop("of"))
    return Spec("dataset", readable(name), settings, inputs, source)


def _listed(config: Config, name: str, settings: dict) -> Spec:
    """Spec of a data set of list files: known by their content and that of the pictures named.

    Of an OOD set the test list alone counts, so one block serves as both.
    """
    setting, given = f"datasets.{name}", settings.pop("path")
    root = Path(given) if given else Path(config.run.data)
    if not labelled(config, name) or not settings["lists"]["train"]:
        settings["role"], settings["lists"] = OOD, {"test": settings["lists"]["test"]}
        del settings["validation"], settings["classes"]
    elif settings["lists"]["validation"]:
        del settings["validation"]
    settings["lists"] = {split: file for split, file in settings["lists"].items() if file}
    for split, file in settings["lists"].items():
        locate(str(root / file), f"{setting}.lists.{split}")
    locate(str(root / settings["pictures"]), f"{setting}.pictures")
    lists = tuple(settings["lists"].items())
    settings["content"] = _lists_content(root, lists, settings["pictures"], f"{setting}.lists")
    return Spec("dataset", readable(name), settings, source=str(root))


def corpus(config: Config, name: str) -> Spec:
    """Spec of one corpus of texts; a published one is known by its name, as a data set is."""
    item = config.datasets[name]
    settings = item.model_dump() | {"name": name}
    if item.kind in PUBLISHED_TEXTS:
        del settings["path"]
        return Spec("corpus", readable(name), settings, source=str(published_folder(config, name)))
    outside = "path" if item.kind == "texts" else "file"
    path = locate(settings.pop(outside), f"datasets.{name}.{outside}")
    settings["content"] = content(path, READ_OF_FOLDERS["corpus"])
    if (item.kind == "texts" or getattr(item, "classes", None)) and not labelled(config, name):
        settings["role"] = OOD
        for share in ("validation", "test"):
            del settings[share]
    return Spec("corpus", readable(name), settings, source=str(path))


def vocabulary(config: Config) -> Spec:
    """Spec of the words that the ID training texts hold, or of a transformers folder's tokens.

    Of a fold's, too, the words of all classes: what a language model draws is numbered by them.
    """
    if given := config.vocabulary.tokenizer:
        path = locate(given, "vocabulary.tokenizer")
        settings = {"content": content(path, READ_OF_FOLDERS["vocabulary"])}
        return Spec("vocabulary", readable(path.name), settings, source=str(path))
    inputs = {"corpus": corpus(config, whole_id(config))}
    settings = config.vocabulary.model_dump(exclude={"tokenizer"})
    return Spec("vocabulary", readable(config.id), settings, inputs)


def tokens(config: Config, name: str) -> Spec:
    """Spec of one corpus in numbers of words, whole or cut; or of random numbers."""
    item, inputs = config.datasets[name], {"vocabulary": vocabulary(config)}
    if item.kind == "random_tokens":
        if config.vocabulary.tokenizer and item.commonest is not None:
            raise ValueError(
                f"datasets.{name}.commonest must be null with a vocabulary.tokenizer, whose "
                f"numbers tell nothing of how common a word is, got {item.commonest}"
            )
        settings = item.model_dump() | {"name": name, "words": item.words or config.tokens.words}
        return Spec("tokens", readable(name), settings, inputs)
    settings = config.tokens.model_dump() | {"name": name}
    if item.kind == "text_fold":
        inputs["of"] = tokens(config, item.of)
        settings |= item.model_dump(exclude={"of"})
        return Spec("tokens", readable(name), settings, inputs)
    inputs = {"corpus": corpus(config, name), **inputs}
    cut = f"{config.tokens.words}words" if config.tokens.words else "whole"
    return Spec("tokens", readable(name, cut), settings, inputs)
