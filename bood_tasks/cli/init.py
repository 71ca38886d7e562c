"""`bood init`: a commented config.yaml for pictures or texts of one's own.

The preset `own-pictures` or `own-texts` is written into it, so that everything that it sets is seen
and can be changed in one place.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from bood_tasks import EMBEDDED, PROJECT
from bood_tasks.config.files import OWN, preset
from bood_tasks.networks.words import known_words, nearest, unknown_words, whole_words
from bood_tasks.plan.pipelines import classes_below

HEAD = """\
# Written by `bood init`. Every command in this folder lays it over the package's settings:
#   bood config   prints what holds, with all defaults      bood plan   what it will cost
#   bood run -n   what would be made                        bood run    makes it
# Unknown settings and values out of range are refused, with the cure, before anything is made.
"""
PICTURES = """
# The pictures that are known: one folder a class (cats/, dogs/), or train/, val/ and test/ of such.
id: mine
{test}
datasets:
  mine: {{kind: folder, path: {path}}}
  corrupted: {{of: mine}}                  # validation outliers, made from your pictures
  resampled: {{of: mine}}                  # a control: does a detector merely see resampling?
  {ood}
  # svhn: {{kind: svhn, test_count: 2000}}   # published and coloured; `bood fetch` brings it
"""
SHIPPED = """\
# Strange pictures, for the tests. These ship, and are grey: where yours are coloured, colour alone
# tells them. A folder of strange pictures of your own says more (test: [strange]).
test: [clipart, textures]"""
AUTO = """
# `auto` looks at the pictures: how many of each class, how large. What it chose is said.
"""
WORDS = """
# BOOD and DreamOOD decode pictures of classes. They need a generator that knows a word for each
# class as one token (generator: {source: local, path: FOLDER}), and their names in only.rows above.
"""
UNKNOWN = """\
# The one that ships draws eight grey garments and some shapes, and does not know: {unknown}.
# anchors: {{words: {{{first}: WORD}}}}    # `bood words WORD` lists what is near
"""
SOURCES = ("timm", "torchvision", "openood", "transformers", "python", "onnx")
SCORES = "[msp, odin, mahalanobis, energy, knn, vim, react, dice]"
MOST = 5  # class names in a comment
KINDS = ("noise", "gan")  # of outliers that need no pictures
FINETUNED = """\
  # The rows below train it on, each with outliers of one kind, and `further` as long with none, to
  # tell what outliers give. `bood best` says which to take, by validation outliers alone.
  further:
    method: ce
    variant: further
    scores: [msp, energy, knn]
    set: &further {{detector: {{{train}}}}}
"""
OUTLIERS = "  oe_{name}: {{method: oe, variant: {name}, outliers: {name}, set: *further}}\n"
COUNT = 500  # outliers of a kind; an epoch draws as many as it has ID pictures
SHIPPED_GAN = f"""
# `gan`: pictures of the small BigGAN that ships, far outside its training range (GOE).
gan_generator: {{source: local, path: "embedded:biggan"}}
gan_images: {{count: {COUNT}, scale: 50}}
"""


def _quoted(path: str | Path) -> str:
    """Return a path as YAML reads it."""
    return json.dumps(str(path), ensure_ascii=False)


def _body(name: str) -> str:
    """Return a preset's settings, less the comment at its head."""
    text = preset(name).read_text(encoding="utf-8")
    return re.sub(r"\A(#.*\n)+", "", text)


def _instead(text: str, line: str, new: str) -> str:
    """Return a text with one line replaced. Raises ValueError if it is not there once."""
    if text.count(f"\n{line}\n") != 1:
        raise ValueError(f"the preset must have the line {line!r} once")
    return text.replace(f"\n{line}\n", f"\n{new}\n")


def network(classifier: str) -> str:
    """Return the setting detector.network for `timm:resnet18` and its like.

    Raises ValueError for another source.
    """
    source, _, name = classifier.partition(":")
    if source not in SOURCES or not name:
        raise ValueError(
            f"--classifier must be SOURCE:NAME with a source of {', '.join(SOURCES)}, as "
            f"timm:resnet18, got {classifier!r}"
        )
    value = name if re.fullmatch(r"[\w.-]+", name) else _quoted(name)
    scaled = ", mean: [0, 0, 0], std: [1, 1, 1]" if source in ("python", "onnx") else ""
    return f"{{{source}: {value}{scaled}}}"


def _with_classifier(text: str, classifier: str, weights: str | None) -> str:
    """Return settings with somebody else's classifier in place of the workflow's own."""
    lines = ["detector:", f"  network: {network(classifier)}"]
    if "mean: [0, 0, 0]" in lines[-1]:
        lines[-1] += "   # what its pictures were scaled by: these leave pixels in [0, 1]"
    whole = classifier.startswith("onnx:")  # its file holds its weights
    size = "image: {size: 224, fit: resize}    # what it was trained with: write its own"
    if not classifier.startswith(("python:", "onnx:")):
        size = "image: {size: auto, kernel: auto, fit: resize}   # those of its library"
    text = _instead(text, "image: {size: auto, fit: resize}", size)
    if not weights and not whole:
        lines.append(
            "  # pretrained: weights.safetensors   # or a state dict; epochs: 0 takes it as it is"
        )
        return _instead(text, "detector:", "\n".join(lines))
    if weights:
        lines.append(f"  pretrained: {_quoted(weights)}")
    text = _instead(text, "detector:", "\n".join(lines))
    kept = "  epochs: 0                  # as it is" + ("" if whole else "; auto trains it on")
    text = _instead(text, "  epochs: auto", kept)
    rows = f"rows:\n  ce: {{method: ce, scores: {SCORES}}}\n"
    only = (
        "only: {rows: [ce], variants: [], sweeps: []}   # vos and noise train: not with epochs: 0"
    )
    text = re.sub(r"^rows:\n(  .*\n)+", rows, text, flags=re.MULTILINE)
    return re.sub(r"^only: .*$", only, text, flags=re.MULTILINE)


def _with_outliers(text: str, outliers: Sequence[str], weights: bool) -> str:
    """Return settings with rows that train the classifier on, one for each kind of outliers.

    Raises ValueError for two folders: their rows would bear one name.
    """
    folders = [kind for kind in outliers if kind not in KINDS]
    if len(folders) > 1:
        raise ValueError(
            "--outliers must have one folder at most, whose row is oe_natural; write rows for the "
            f"others into config.yaml, got {', '.join(folders)}"
        )
    names = [kind for kind in outliers if kind in KINDS] + ["natural"] * len(folders)
    train = "epochs: 2, lr: 0.005, batch_norm: kept" + ("" if weights else ", start: ce")
    rows = FINETUNED.format(train=train) + "".join(OUTLIERS.format(name=name) for name in names)
    held = ", ".join(["ce", "further", *(f"oe_{name}" for name in names)])
    sets = f"  noise: {{count: {COUNT}}}\n" * ("noise" in names)
    if folders:
        sets += f"  natural: {{kind: folder, path: {_quoted(folders[0])}}}   # outliers\n"
    text = _instead(text, "seeds: [0]", "seeds: [0, 1, 2]   # one alone tells no rows apart")
    for pattern, new in {
        r"^(datasets:\n)": sets,
        r"^(detector:\n)": "  outlier_exposure: {weighting: balanced}   # as many as ID pictures\n",
        r"^(rows:\n(?:  .*\n)+)": rows,
    }.items():
        text = re.sub(pattern, lambda found, new=new: found[1] + new, text, flags=re.MULTILINE)
    only = f"only: {{rows: [{held}], variants: [], sweeps: []}}"
    text = re.sub(r"^only: .*$", only, text, flags=re.MULTILINE)
    return text + SHIPPED_GAN * ("gan" in names)


def _classes(option: str, folder: str) -> list[str]:
    """Return the names of a folder's classes, none for a folder that is not there yet.

    Raises ValueError for fewer than two.
    """
    if not Path(folder).is_dir():
        return []
    found = classes_below(Path(folder))
    if len(found) < 2:
        raise ValueError(
            f"{option} must have a folder of each class, two or more, and {folder} has "
            f"{found[0] if found else 'none'}; sort its files into folders named as the classes"
        )
    return found


def _of_words(classes: Sequence[str]) -> str:
    """Return a comment on the words of the classes: which the shipped generator does not know."""
    known = known_words(EMBEDDED / "generator")
    missing = list(unknown_words({name: name for name in classes}, known))
    if not missing:
        return WORDS
    candidates, told = whole_words(known), []
    for name in missing[:MOST]:
        near = nearest(name, candidates)
        told.append(name + (f" (near it {', '.join(near)})" if near else ""))
    more = [f"and {len(missing) - MOST} more"] if len(missing) > MOST else []
    return WORDS + UNKNOWN.format(unknown=", ".join(told + more), first=missing[0])


def of_pictures(
    folder: str,
    ood: str | None,
    classifier: str | None,
    weights: str | None,
    outliers: Sequence[str] = (),
) -> str:
    """Return a configuration for a folder of pictures, as YAML with comments."""
    strange = f"strange: {{kind: folder, path: {_quoted(ood or 'strange')}}}"
    head = PICTURES.format(
        test="test: [strange]                       # strange pictures, for the tests"
        if ood
        else SHIPPED,
        path=_quoted(folder),
        ood=strange if ood else f"# {strange}",
    )
    body = AUTO + _body("own-pictures")
    if classifier:
        body = _with_classifier(body, classifier, weights)
    text = HEAD + head + body
    if outliers:
        text = _with_outliers(text, outliers, bool(weights))
    return text + _of_words(_classes("--images", folder))


def of_texts(folder: str, ood: str | None) -> str:
    """Return a configuration for a folder of texts, as YAML with comments."""
    _classes("--texts", folder)
    body = "\n# The texts that are known: one folder a class, with files that end in .txt.\n"
    body += _body("own-texts")
    body = _instead(body, "id: definitions", "id: mine")
    mine = f"  mine: {{kind: texts, path: {_quoted(folder)}}}\n"
    if ood:
        body = _instead(body, "test: [verses]", "test: [strange, verses]")
        mine += f"  strange: {{kind: texts, path: {_quoted(ood)}}}\n"
    body, found = re.subn(r"^  definitions:\n(    .*\n)+", mine, body, flags=re.MULTILINE)
    if found != 1:
        raise ValueError("the preset own-texts must have the data set `definitions`")
    return HEAD + body


def configuration(
    *,
    images: str | None = None,
    texts: str | None = None,
    ood: str | None = None,
    classifier: str | None = None,
    weights: str | None = None,
    outliers: Sequence[str] = (),
) -> tuple[Path, str]:
    """Return the file of a configuration and its text.

    `outliers`: kinds to train on with: of KINDS, or a folder of pictures. Raises ValueError for a
    classifier of a source that is not known, or that does not fit, for outliers likewise, and for a
    folder of fewer than two classes.
    """
    if weights and not classifier:
        raise ValueError(f"--weights must have a --classifier that they fit, got {weights} alone")
    if weights and classifier.startswith("onnx:"):
        raise ValueError(
            f"--weights must not be given for an ONNX file, which has its own: {weights}"
        )
    if outliers and (texts or (classifier or "").startswith("onnx:")):
        raise ValueError(
            "--outliers must be for pictures and a classifier that can be trained, got "
            f"{'--texts' if texts else classifier}"
        )
    if texts:
        if classifier:
            raise ValueError(
                "--classifier must be one of pictures, got --texts; for one of texts write "
                "detector.network (docs/configuration.md) into config.yaml"
            )
        return OWN, of_texts(texts, ood)
    return OWN, of_pictures(images or "pictures", ood, classifier, weights, outliers)


def profile(name: str) -> tuple[Path, str]:
    """Return the file of a profile in the working folder, and the packaged one's text.

    Raises ValueError for a name that the package does not have.
    """
    known = sorted(path.parent.name for path in PROJECT.glob("profiles/*/config.yaml"))
    if name not in known:
        raise ValueError(f"--profile must be one of {', '.join(known)}, got {name!r}")
    path = Path("profiles", name, "config.yaml")
    return path, (PROJECT / path).read_text(encoding="utf-8")
