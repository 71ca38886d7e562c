"""How many items, operations and bytes an artifact has: limits and cost estimates share the count.

Nothing here opens data or imports torch. What no artifact, catalogue or setting tells is unknown,
None, unless whoever asks says what to take for it or how to look.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bood_tasks.artifacts.spec import Spec
from bood_tasks.catalogue.augmentations import views
from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.catalogue.scores import magnitudes_of
from bood_tasks.catalogue.weights import WEIGHTS
from bood_tasks.config.datasets import FOLDS
from bood_tasks.networks.flops import (
    HUB,
    SD14_UNET,
    SD14_VAE,
    classifier_flops,
    evaluations,
    image_flops,
    picture_side,
    unet_flops,
    vae_decoder_flops,
)
from bood_tasks.networks.pipelines import describe
from bood_tasks.networks.small_diffusion import UNET_CHANNELS, VAE_CHANNELS, unet_shape, vae_shape
from bood_tasks.plan import networks
from bood_tasks.plan.pipelines import pipeline_folder

BACKWARD = 3  # a training step's operations, in forward passes
PASSES = 4  # of a picture moved along a gradient: one and its gradient, and another
ANCHOR_SIZE = 768  # of Stable Diffusion v1; those of generators trained here are smaller
MEAN_STEPS = 0.3  # of K, until a row crosses
EXPONENTIAL = 10  # products of matrices in one matrix exponential, about
CANDIDATES_AT_ONCE = 100  # vectors that DreamOOD draws from one set of candidates
TRAJECTORY_PICTURES = 20  # at most, with the usual settings
STRIP_FEATURES = 6  # of Figure 3
STRIPS_SHOWN = {
    "extra_steps_shown", "overshoots_shown", "step_sizes_shown", "step_size_factors"
}  # fmt: skip

Splits = dict[str, int | None]


@cache
def _facts(manifest: str) -> dict:
    """Return what a finished data set's artifact says of itself, {} while it is not there."""
    path = Path(manifest).with_name("dataset.json")
    return json.loads(path.read_text(encoding="utf-8")) if Path(manifest).is_file() else {}


def _described(generator: Spec) -> tuple[Mapping, Mapping]:
    """Return the configurations of a generator's denoiser and VAE, as its folder has them; before
    it is fetched those that are known of its repository, Stable Diffusion v1's of any other."""
    folder = pipeline_folder(generator)
    if folder is None:
        return HUB.get(generator.settings.get("repo"), SD14_UNET), SD14_VAE
    return _configs(folder)


@cache
def _configs(folder: Path) -> tuple[Mapping, Mapping]:
    found = describe(folder)
    return found.denoiser, found.decoder


def networks_of(generator: Spec) -> tuple[Mapping, Mapping]:
    """Return the shapes of a generator's UNet and VAE: its folder's, or those trained here."""
    settings = generator.settings
    if settings["source"] != "train" or generator.source:
        return _described(generator)
    vae = settings.get("vae_channels", VAE_CHANNELS)
    return unet_shape(settings.get("unet_channels", UNET_CHANNELS), vae), vae_shape(vae)


def _training(generator: Spec) -> float:
    """Return the operations of training a generator; its encoder counts as its decoder does."""
    settings, (unet, vae) = generator.settings, networks_of(generator)
    side, batch = unet["sample_size"], settings["batch_size"]
    denoiser = settings["unet_steps"] * batch * unet_flops(unet, side=side)
    autoencoder = settings["vae_steps"] * (batch // 2) * 2 * vae_decoder_flops(vae, side=side)
    return BACKWARD * (denoiser + autoencoder)


def _total(counts: Iterable[float | None]) -> float | None:
    """Return a sum that is unknown if a part of it is."""
    parts = list(counts)
    return None if None in parts else sum(parts)


def _times(*factors: float | None) -> float | None:
    return None if None in factors else math.prod(factors)


@dataclass(frozen=True)
class Sizes:
    """Counts from specs. `look` opens a data set that only its files tell of and returns its
    splits and the number of its classes; `unknown` is taken for a split without a count, and for
    the words of a text that is not cut. `finished`: whether artifacts that are there tell."""

    look: Callable[[Spec], tuple[Splits, int]] | None = None
    unknown: int | None = None
    finished: bool = True

    def _told(self, data: Spec) -> dict:
        return _facts(data.manifest) if self.finished else {}

    def _words(self, texts: Spec, fact: str) -> int | None:
        """Return the words of a text: all are cut to them, or a `fact` of whole ones."""
        return texts.settings["words"] or self._told(texts).get(fact, self.unknown)

    def splits(self, data: Spec) -> Splits:
        """Return a data set's pictures or texts per split."""
        counts = self._counts(data)
        return {name: self.unknown if n is None else n for name, n in counts.items()}

    def _counts(self, data: Spec) -> Splits:
        settings = data.settings
        if known := self._told(data).get("counts"):
            return known
        if data.stage == "tokens":  # how many texts are long enough is known when they are cut
            return {"train": None, "test": settings.get("count")}
        kind = settings["kind"]
        if kind in CATALOGUE:
            return _published(kind, settings)
        if kind in ("corrupted", "resampled"):
            split = "validation" if kind == "corrupted" else "test"
            return {"test": self._counts(data.inputs["of"]).get(split)}
        if kind == "fold":
            counts, share = self._counts(data.inputs["of"]), 1 / settings["folds"]
            if settings["part"] == "left_out":
                found = counts.get("validation")
                return {"test": found and round(found * share)}
            return {split: n and round(n * (1 - share)) for split, n in counts.items()}
        if kind == "noise":
            return {"test": settings["count"]}
        return self.look(data)[0] if self.look else {"train": None, "test": None}

    def classes(self, data: Spec) -> int:
        """Return the number of a data set's classes, 10 where nothing tells it."""
        if known := self._told(data).get("classes"):
            return len(known)
        if data.settings.get("kind") in FOLDS:
            count = self.classes(data.inputs["of"])
            out = len(range(data.settings["fold"], count, data.settings["folds"]))
            return out if data.settings["part"] == "left_out" else count - out
        if data.stage == "tokens":
            return len(data.inputs["corpus"].settings.get("classes") or ())
        if data.settings["kind"] in CATALOGUE:
            return CATALOGUE[data.settings["kind"]].classes
        return self.look(data)[1] if self.look else len(data.settings.get("classes") or ()) or 10

    def items(self, spec: Spec) -> int | None:
        """Return how many items an artifact holds, or a training shows."""
        settings = spec.settings
        match spec.stage:
            case "dataset" | "tokens":
                return _total(self.splits(spec).values())
            case "encoder":
                return _times(self._id_shown(spec), settings["epochs"])
            case "detector":
                return _times(self._shown(spec), settings["epochs"])
            case "features" | "distances":
                return self.splits(_id_data(spec))["train"]
            case "ood_features":
                if "vectors" in settings:  # so many of each class
                    return settings["vectors"] * self.classes(_id_data(spec))
                rows = self.splits(_id_data(spec))["train"]
                return rows and round(rows * settings["rate"])
            case "images":
                count = settings["stop"] - settings["start"]
                return count * len(settings.get("words") or range(self.classes(_id_data(spec))))
            case "gan_images" | "texts":
                return settings["stop"] - settings["start"]
            case "trajectory":
                return TRAJECTORY_PICTURES
            case "strips":
                shown = [values for name, values in settings.items() if name in STRIPS_SHOWN]
                return STRIP_FEATURES * sum(map(len, shown))
            case "outputs" | "epochs":
                split = "train" if settings.get("training") else "test"
                return _total(self.splits(data).get(split) for data in spec.inputs["datasets"])
            case "scores":
                return self.items(spec.inputs["outputs"])
            case "outlier_statistics":
                rows = self.splits(_id_data(spec))["train"]
                return _total([rows, 3 * settings["count"]])
            case "outlier_filter":
                return _total(map(self._outliers, spec.inputs["outliers"]))
        return 1

    def _outliers(self, spec: Spec) -> int | None:
        """Return how many items an outlier artifact has: a shard all, a data set its test split."""
        if spec.stage in ("dataset", "tokens"):
            return self.splits(spec).get("test")
        return self.items(spec)

    def _id_shown(self, trained: Spec) -> int | None:
        """Return how many ID items an epoch of training shows: every one in each of its views."""
        rows = self.splits(trained.inputs["dataset"])["train"]
        return _times(rows, views(trained.settings.get("augment", "")))

    def _shown(self, detector: Spec) -> int | None:
        """Return how many items an epoch of training shows: ID and outliers."""
        rows = self.splits(detector.inputs["dataset"])["train"]
        others = [self._outliers(item) for item in detector.inputs.get("outliers", ())]
        if detector.settings.get("mixing") != "shuffled":  # as many outliers as ID in every batch
            others = [rows] if others else []
        return _total([self._id_shown(detector), *others])

    def forward(self, network: Spec, data: Spec) -> float | None:
        """Return the operations of a classifier on one sample of a data set."""
        settings = network.settings
        if isinstance(settings.get("network"), Mapping):
            return networks.numbers(settings["network"])[1]
        if data.stage == "tokens":
            size = self._words(data, "mean_words")
        else:
            size = settings.get("crop") or data.settings["image"]["size"]
        if size is None:
            return None
        outputs = ANCHOR_SIZE if network.stage == "encoder" else self.classes(data)
        return classifier_flops(settings, outputs=outputs, size=size)

    def operations(self, spec: Spec) -> float | None:
        """Return the operations of making an artifact; 0 where they do not count."""
        settings, items = spec.settings, self.items(spec)
        match spec.stage:
            case "encoder" | "detector":
                each = self.forward(spec, spec.inputs["dataset"])
                return _times(BACKWARD, items, each)
            case "generator" if settings["source"] == "train":
                return _training(spec)
            case "features":
                return _times(items, self.forward(spec.inputs["encoder"], _id_data(spec)))
            case "outputs" | "epochs":
                network = spec.inputs["detector"]
                runs = 1
                if spec.stage == "epochs":
                    runs = network.settings["epochs"] + ("start" in spec.inputs)
                return _times(runs, items, self.forward(network, _id_data(network)))
            case "outlier_filter" | "outlier_statistics":
                network = spec.inputs["detector"]
                return _times(items, self.forward(network, _id_data(network)))
            case "scores":
                passes = PASSES * len(magnitudes_of(settings))
                return _times(passes, self.operations(spec.inputs["outputs"]))
            case "distances":
                each = MEAN_STEPS * settings["max_steps"] * 4 * ANCHOR_SIZE
                return _times(items, each, self.classes(_id_data(spec)))
            case "ood_features" if settings["sampler"] == "ncis":
                # Two passes a step, forwards and back, whose rotations are exponentials
                steps = _times(1 / settings["batch_size"], self.splits(_id_data(spec))["train"])
                each = (settings["layers"] + 1) * EXPONENTIAL * 2 * ANCHOR_SIZE**3
                return _times(2 * BACKWARD * settings["epochs"], steps, each)
            case "ood_features" if settings["sampler"] == "dreamood":
                drawn = settings["candidates"] * -(-settings["vectors"] // CANDIDATES_AT_ONCE)
                rows = self.splits(_id_data(spec))["train"]
                return _times(2, drawn, rows, ANCHOR_SIZE)
            case "images" | "trajectory" | "strips":
                unet, vae = networks_of(spec.inputs["generator"])
                each = image_flops(
                    unet,
                    vae,
                    resolution=picture_side(unet, vae, settings["resolution"]),
                    evaluations=evaluations(settings["scheduler"], settings["steps"]),
                    guidance=settings["guidance"],
                )
                return _times(items, each)
            case "gan_images" | "texts":
                return None
            case "generator" | "gan_generator" | "language_model":
                return None if settings["source"] == "train" else 0.0
        return 0.0

    def pixels(self, spec: Spec) -> int | None:
        """Return the bytes of an artifact's pictures or tokens."""
        settings = spec.settings
        match spec.stage:
            case "dataset":
                each = 3 * settings["image"]["size"] ** 2
                if settings.get("whole"):  # the training pictures lie there twice
                    return _times(_total([self.items(spec), self.splits(spec)["train"]]), each)
            case "tokens" | "texts":
                each = _times(4, self._words(spec, "words"))
            case "gan_images":
                each = (
                    3 * (settings["saved_size"] or _drawn_side(spec.inputs["gan_generator"])) ** 2
                )
            case "images" | "trajectory" | "strips":
                unet, vae = networks_of(spec.inputs["generator"])
                side = settings["saved_size"] or picture_side(unet, vae, settings["resolution"])
                each = 3 * side**2
            case _:
                return 0
        return _times(self.items(spec), each)


def _drawn_side(generator: Spec) -> int:
    """Return the pixels a side of a GAN's pictures; 32 where only its own file tells."""
    if "dataset" in generator.inputs:
        return generator.inputs["dataset"].settings["image"]["size"]
    released = generator.settings.get("released")
    return (released and WEIGHTS[released].side) or 32


def _id_data(spec: Spec) -> Spec:
    """Return the ID data set that an artifact descends from."""
    while spec.stage not in ("dataset", "tokens"):
        nearest = ("dataset", "detector", "features", "anchors")
        spec = next(spec.inputs[role] for role in nearest if role in spec.inputs)
    return spec


def _published(kind: str, settings: Mapping) -> Splits:
    """Return a published data set's pictures per split, as the settings cut them."""
    entry = CATALOGUE[kind]
    counts = dict(entry.counts)
    if counts.get("train"):
        held = settings["validation_per_class"] * entry.classes
        if held:
            counts |= {"train": counts["train"] - held, "validation": held}
        if settings["train_per_class"]:
            counts["train"] = min(counts["train"], settings["train_per_class"] * entry.classes)
    limit = settings.get("test_count")
    if limit:
        counts["test"] = min(counts["test"] or limit, limit)
    return counts
