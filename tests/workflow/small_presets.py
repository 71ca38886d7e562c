"""The paper presets in the small: overlays that lower counts alone, and the files that they read.

`SMALL` has one entry for each paper preset. What an overlay may touch stands in `COUNTS`; nothing
else of a preset is changed, so every rule, score, table and figure is made as at the paper's scale.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from bood_tasks.catalogue.corpora import ALL_PUBLISHED
from bood_tasks.config.fields import merged
from bood_tasks.datasets.read_folders import ALIASES
from tests import published_files as files
from tests import stand_in_weights as weights

ROOT = Path(__file__).parents[2]
COUNTS = (  # settings that an overlay may lower, each a number of something
    "seeds",
    "image.size",
    "image.crop",
    "datasets.*.commonest",
    "datasets.*.count",
    "datasets.*.size",
    "datasets.*.test_count",
    "encoder.depth",
    "encoder.width",
    "encoder.epochs",
    "encoder.batch_size",
    "detector.depth",
    "detector.width",
    "detector.epochs",
    "detector.steps",
    "detector.batch_size",
    "detector.gan.width",
    "detector.vos.queue",
    "detector.vos.candidates",
    "detector.npos.embedding",
    "detector.npos.queue",
    "detector.npos.neighbours",
    "detector.npos.boundary",
    "detector.npos.points",
    "detector.npos.kept",
    "detector.npos.candidates",
    "detector.gru.embedding",
    "detector.gru.hidden",
    "rows.*.set.detector.epochs",
    "rows.*.set.detector.batch_size",
    "ood_features.dreamood.neighbours",
    "ood_features.dreamood.boundary",
    "ood_features.dreamood.candidates",
    "ood_features.dreamood.vectors",
    "images.per_class",
    "images.shard",
    "images.steps",
    "images.resolution",
    "images.saved_size",
    "gan_generator.train.channels",
    "gan_generator.train.latent",
    "gan_generator.train.shared",
    "gan_generator.train.steps",
    "gan_generator.train.batch_size",
    "gan_generator.train.d_steps",
    "gan_images.count",
    "gan_images.shard",
    "vocabulary.size",
    "language_model.train.layers",
    "language_model.train.width",
    "language_model.train.heads",
    "language_model.train.hidden",
    "language_model.train.context",
    "language_model.train.epochs",
    "language_model.train.batch_size",
    "texts.count",
    "texts.shard",
    "ablations.sweeps.*",  # fewer points of each curve
    "run.workers",
)
STAND_IN = {  # weights that nobody has here: where tiny ones in the same layout lie
    "generator.source": "local",
    "generator.path": "stable-diffusion",
    "gan_generator.path": "weights/biggan-deep-256",
    "detector.pretrained": "weights/classifier.pth",
}
GENERATOR = {"source": "local", "path": STAND_IN["generator.path"]}


@dataclass(frozen=True)
class Small:
    """One run: presets laid over each other, the overlay on top, and what writes the files."""

    presets: tuple[str, ...]
    overlay: Mapping
    write: Callable[[Path], None]
    tables: tuple[str, ...]
    figures: tuple[str, ...]
    test: Mapping[str, int]  # OOD sets, and how many pictures or texts of each


def leaves(
    overlay: Mapping, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield (path, value) of everything in a nested mapping that is no mapping."""
    for key, value in overlay.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def value_at(settings: Mapping, path: tuple[str, ...]) -> object:
    """Return what stands at a path."""
    for key in path:
        settings = settings[key]
    return settings


def not_a_lower_count(path: tuple[str, ...], value: object, settings: Mapping) -> str | None:
    """Return why an overlay may not set this beside a preset's whole `settings`; None if it may."""
    name = ".".join(path)
    if name in STAND_IN:
        return None if value == STAND_IN[name] else f"{name} must be {STAND_IN[name]}"
    if not any(fnmatchcase(name, pattern) for pattern in COUNTS):
        return f"{name} is no count"
    given = value_at(settings, path)
    if isinstance(value, list):
        return None if set(value) < set(given) else f"{name}: {value} must be some of {given}"
    return None if value < given else f"{name}: {value} must be lower than {given}"


# ---- BOOD and DreamOOD ------------------------------------------------------------------------

TRAIN, TEST, OUTSIDE = 12, 1, 16  # pictures of a class, pictures of an OOD set
_NETWORK = {"depth": 18, "width": 2, "epochs": 2, "batch_size": 64}
_IMAGES = {"per_class": 2, "shard": 1, "steps": 2, "resolution": 32, "saved_size": 24}
_DREAMOOD = {"neighbours": 5, "boundary": 6, "candidates": 20, "vectors": 3}
_BASELINES = {
    "gan": {"width": 4},
    "vos": {"queue": 4, "candidates": 40},
    "npos": {"queue": 5, "neighbours": 2, "boundary": 3, "candidates": 20, "kept": 5},
}
DREAMOOD_CIFAR = {
    "seeds": [0],
    "datasets": {"resampled": {"size": 8}},
    "generator": GENERATOR,
    "encoder": _NETWORK,
    "ood_features": {"dreamood": _DREAMOOD},
    "images": _IMAGES,
    "detector": _NETWORK,
}
_SCRATCH = {"set": {"detector": {"epochs": 2, "batch_size": 64}}}
BOOD_CIFAR = merged(DREAMOOD_CIFAR, {"detector": _BASELINES, "rows": {"npos": _SCRATCH}})
ABLATIONS = {
    "ablations": {
        "sweeps": {
            "distances.step_size": [0.015, 0.1],
            "ood_features.extra_steps": [0, 2],
            "ood_features.rate": [0.05, 0.2],
            "detector.ood_weight": [1.0, 2.5],
            "distances.max_steps": [5, 100],
        }
    }
}
PART = 12  # of an OOD set's pictures
AS_CODE = merged(
    BOOD_CIFAR,
    {
        "datasets": {
            name: {"test_count": PART} for name in ("svhn", "places365", "lsun", "isun", "dtd")
        },
        "images": {"saved_size": 40},  # more than the 32 pixels that are cut out
    },
)
DREAMOOD_IMAGENET = merged(
    DREAMOOD_CIFAR,
    {
        "datasets": {"resampled": {"size": 16}},
        "image": {"size": 40, "crop": 32},
        "rows": {"ce": _SCRATCH},
    },
)
BOOD_IMAGENET = merged(
    DREAMOOD_IMAGENET,
    {
        "detector": merged(_BASELINES, {"npos": {"embedding": 16}}),
        "rows": {name: _SCRATCH for name in ("ce", "godin", "gan", "vos", "npos")},
    },
)


def _generator(folder: Path, aliases: str) -> None:
    words = json.loads(ALIASES.read_text(encoding="utf-8"))[aliases].values()
    weights.write_stable_diffusion(folder / STAND_IN["generator.path"], list(dict.fromkeys(words)))


def _outside(folder: Path, *kinds: str) -> None:
    for kind in kinds:
        files.write_folder(folder / "data" / kind, kind, OUTSIDE)


def cifar100(edition: str) -> Callable[[Path], None]:
    """Return the writer of what the CIFAR-100 presets read, CIFAR in one edition."""

    def write(folder: Path) -> None:
        files.write_cifar(
            folder / "data/cifar100", "cifar100", edition=edition, train=TRAIN, test=TEST
        )
        files.write_svhn(folder / "data/svhn", OUTSIDE)
        _outside(folder, "places365", "lsun_c", "isun", "dtd")
        _generator(folder, "cifar100")

    return write


def imagenet100(folder: Path) -> None:
    """Write what the ImageNet-100 presets read."""
    files.write_imagenet(
        folder / "data/imagenet100", files.imagenet100_ids(), train=TRAIN, test=TEST
    )
    _outside(folder, "inaturalist", "sun", "places", "dtd", "ninco", "ssb_hard")
    _generator(folder, "imagenet100")


# ---- GOE --------------------------------------------------------------------------------------

_CLASSIFIER = {"pretrained": STAND_IN["detector.pretrained"]}
GOE_CIFAR = {
    "datasets": {"noise": {"count": 40}},
    "gan_generator": {
        "train": {"channels": 4, "latent": 8, "steps": 3, "batch_size": 10, "d_steps": 2}
    },
    "gan_images": {"count": 40, "shard": 30},
    "detector": {**_CLASSIFIER, "epochs": 2, "batch_size": 32, "depth": 10, "width": 1},
    "ablations": {"sweeps": {"gan_images.scale": [0, 1, 50], "gan_images.count": [100]}},
}


def goe_cifar(kind: str) -> Callable[[Path], None]:
    """Return the writer of what a CIFAR preset of GOE reads."""

    def write(folder: Path) -> None:
        data, classes = folder / "data", len(files.cifar_names(kind))
        files.write_cifar(data / kind, kind, edition="python", train=200 // classes, test=1)
        _outside(
            folder, "dtd", "lsun_c", "lsun_r", "tinyimagenet_crop", "tinyimagenet_resize"
        )  # fmt: skip
        files.write_random_images(data / "random_images", 60)
        files.write_samples(data / "cifar100_gan", 50)
        network = {name: GOE_CIFAR["detector"][name] for name in ("depth", "width")}
        weights.write_wide_resnet(folder / STAND_IN["detector.pretrained"], classes, **network)

    return write


IMAGENET_IDS = [f"n0144076{k}" for k in range(6)]  # a tree may hold fewer classes than 1,000
GOE_IMAGENET = {
    "datasets": {"noise": {"count": 4}},
    "gan_generator": {"path": STAND_IN["gan_generator.path"]},
    "gan_images": {"count": 4, "shard": 3},
    "detector": {**_CLASSIFIER, "steps": 2, "batch_size": 2},
    "ablations": {"sweeps": {"gan_images.scale": [0, 2]}},
}


def goe_imagenet(write_network: Callable[[Path, int], None]) -> Callable[[Path], None]:
    """Return the writer of what an ImageNet preset of GOE reads."""

    def write(folder: Path) -> None:
        data = folder / "data"
        files.write_imagenet(data / "imagenet1k", IMAGENET_IDS, train=2, test=1)
        for kind in ("imagenet_a", "imagenet_r", "imagenet_o"):
            files.write_folder(data / kind, kind, 4)
        weights.write_biggan_deep(folder / STAND_IN["gan_generator.path"], len(IMAGENET_IDS))
        write_network(folder / STAND_IN["detector.pretrained"], len(IMAGENET_IDS))

    return write


GOE_TEXTS = {
    "seeds": [0],
    "datasets": {"noise": {"count": 60, "commonest": 400}},
    "vocabulary": {"size": 600},
    "language_model": {
        "train": {"layers": 1, "width": 16, "hidden": 16, "context": 12, "epochs": 2}
    },
    "texts": {"count": 60, "shard": 40},
    "detector": {"epochs": 2, "gru": {"embedding": 8, "hidden": 16}},
    "ablations": {"sweeps": {"texts.temperature": [0.5, 2]}},
}


def corpora(folder: Path) -> None:
    """Write what GOE's preset of texts reads."""
    for kind, count in {
        "newsgroups20": 12, "reuters52": 312, "multi30k": 80, "wmt16_sentences": 80, "wikitext2": 80
    }.items():  # fmt: skip
        files.write_corpus(folder / "data" / kind, kind, count)


_ONE_METHOD = tuple(f"figure{number}" for number in (1, 2, 3, 4, 7))
_GALLERY = (*_ONE_METHOD, "figure8")  # both methods' outliers
_CIFAR = {name: OUTSIDE for name in ("svhn", "places365", "lsun", "isun", "dtd")}
_MOS = {name: OUTSIDE for name in ("inaturalist", "sun", "places", "dtd")}
_ODIN = ("dtd", "lsun_c", "lsun_r", "tinyimagenet_crop", "tinyimagenet_resize")
_HENDRYCKS = {name: 4 for name in ("imagenet_a", "imagenet_r", "imagenet_o")}
SMALL = {  # name: presets, overlay, writer of files, tables, figures, test sets
    "bood-cifar100-ablations": Small(
        ("bood-cifar100", "bood-cifar100-ablations"),
        merged(BOOD_CIFAR, ABLATIONS),
        cifar100("python"),
        ("table1", "table3", "table4", "table5", "table6", "table8"),
        (*_GALLERY, "figure5", "figure6"),
        _CIFAR,
    ),
    "bood-cifar100-as-printed": Small(
        ("bood-cifar100", "bood-cifar100-as-printed"), BOOD_CIFAR, cifar100("binary"),
        ("table1", "table4", "table5"), _GALLERY, _CIFAR,
    ),
    "bood-cifar100-as-code": Small(
        ("bood-cifar100", "bood-cifar100-as-code"), AS_CODE, cifar100("binary"),
        ("table1", "table4", "table5"), _GALLERY, dict.fromkeys(_CIFAR, PART),
    ),
    "bood-imagenet100-near": Small(
        ("bood-imagenet100", "bood-imagenet100-near"), BOOD_IMAGENET, imagenet100,
        ("table2", "table4", "table5", "table7"), _GALLERY,
        {**_MOS, "ninco": OUTSIDE, "ssb_hard": OUTSIDE},
    ),
    "dreamood-cifar100": Small(
        ("dreamood-cifar100",), DREAMOOD_CIFAR, cifar100("binary"),
        ("table1", "table4", "table5"), _ONE_METHOD, _CIFAR,
    ),
    "dreamood-imagenet100": Small(
        ("dreamood-imagenet100",), DREAMOOD_IMAGENET, imagenet100,
        ("table2", "table4", "table5"), _ONE_METHOD, _MOS,
    ),
    "goe-cifar10": Small(
        ("goe-cifar10",), GOE_CIFAR, goe_cifar("cifar10"), ("goe_table1",),
        ("goe_figure1", "goe_figure2", "goe_figure4", "goe_figure5"),
        dict.fromkeys(_ODIN, OUTSIDE),
    ),
    "goe-cifar100": Small(
        ("goe-cifar100",), GOE_CIFAR, goe_cifar("cifar100"), ("goe_table1",),
        ("goe_figure1", "goe_figure2", "goe_figure4", "goe_figure5"),
        dict.fromkeys(_ODIN, OUTSIDE),
    ),
    "goe-imagenet-vit": Small(
        ("goe-imagenet-vit",), GOE_IMAGENET, goe_imagenet(weights.write_vit), ("goe_table1",),
        ("goe_figure1", "goe_figure2"), _HENDRYCKS,
    ),
    "goe-imagenet-resnet101": Small(
        ("goe-imagenet-resnet101",),
        merged(
            GOE_IMAGENET,
            {"image": {"size": 40, "crop": 32}, "datasets": {"noise": {"size": 36}}},
        ),
        goe_imagenet(weights.write_resnet101), ("goe_table3",),
        ("goe_figure1", "goe_figure3"), _HENDRYCKS,
    ),
    "goe-newsgroups": Small(
        ("goe-newsgroups",), GOE_TEXTS, corpora, ("goe_table2",), ("goe_figure2_text",),
        {"reuters52": 312, "multi30k": 80, "wmt16": 80},
    ),
}  # fmt: skip


def used_kinds(small: Small) -> set[str]:
    """Return the kinds of published data set that a run's presets define."""
    kinds = set()
    for name in small.presets:
        preset = yaml.safe_load((ROOT / f"workflow/presets/{name}.yaml").read_text())
        kinds |= {item["kind"] for item in preset.get("datasets", {}).values() if "kind" in item}
    return kinds & set(ALL_PUBLISHED)
