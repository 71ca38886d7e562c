"""A trained detector in use: pictures in, scores, decisions and classes out (larger = more ID).

Enters: a scores artifact and what it was made from (lineage.py). Nothing is fitted or chosen
here: the score's state and magnitude are the artifact's, and the threshold follows from its
scores of ID validation pictures. Pictures are resized as the ID data set's were.
"""

import warnings
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn

from bood_tasks.artifacts.code import code_digest
from bood_tasks.catalogue.scores import moves
from bood_tasks.datasets.pictures import Given, Pictures, read_told, rows_given
from bood_tasks.deploy.lineage import Lineage, trace
from bood_tasks.detectors.method import Method
from bood_tasks.detectors.model import load_model
from bood_tasks.jobs.environment import inference_batch, run_setting
from bood_tasks.networks.float64 import float64_device
from bood_tasks.scoring.posthoc.base import Score, State
from bood_tasks.scoring.posthoc.table import own_score
from bood_tasks.scoring.roc import LEVEL, first_threshold
from bood_tasks.scoring.scores import of_outputs, of_pictures
from bood_tasks.training.predict import predict

STATE = "state.safetensors"
OPTIONS = {"method": "method", "score": "score_file"}  # which name a file of one's own


class ScoredNetwork(nn.Module):
    """A trained network with one fitted score: what a detector runs and `bood export` writes."""

    def __init__(
        self,
        model: Method,
        settings: Mapping,
        state: State,
        magnitude: float,
        own: Score | None = None,
    ):
        super().__init__()
        self.own = own  # a score of one's own
        self.model, self.settings, self.magnitude = model, settings, magnitude
        # Numbers as numbers: scores read them as such, which an exported graph could not.
        self.state = {name: value if value.ndim else value.item() for name, value in state.items()}

    def forward(
        self, x: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b v"]]:
        """Return the scores and the class logits of network input."""
        given, name = self.model.outputs(x), self.settings["score"]
        if moves(name, self.settings):
            magnitudes = [self.magnitude]
            score = of_pictures(self.model, x, self.settings, magnitudes, self.state)[:, 0]
        else:
            score = of_outputs(name, given, self.state, self.own)
        return score, given["logits"]


@dataclass(frozen=True)
class Verdict:
    """What a detector says of n pictures."""

    scores: Float[np.ndarray, " n"]  # larger = more ID
    decisions: np.ndarray  # "ID" where the score reaches the threshold, else "OOD"
    classes: np.ndarray  # name of the most likely ID class, for OOD pictures as well


class TrainedDetector:
    """A trained detector with one score; `load_detector` makes it.

    `classes` are the ID class names in the order of the logits, `image` is how a picture is
    resized (size in pixels, fit, kernel), `crop` the pixels of it that the network sees (None:
    all), `reference` the scores of `calibration`, ID pictures by which thresholds are set.
    """

    def __init__(self, network: ScoredNetwork, lineage: Lineage, device: str):
        self.network, self.device, self.crop = network, device, lineage.crop
        self.score = network.settings["score"]
        self.classes: list[str] = lineage.dataset.json("dataset.json")["classes"]
        self.image: dict = lineage.dataset.settings["image"]
        name = network.settings["id"]
        held_out = f"{name}/validation/score" in lineage.scores
        self.calibration = f"{name}/{'validation' if held_out else 'test'}"
        self.reference = lineage.scores[f"{self.calibration}/score"][:]

    def threshold(self, tpr: float = LEVEL) -> float:
        """Return the strictest threshold that accepts at least a share `tpr` of `calibration`.

        The rule `first` of metrics. Raises ValueError unless 0 < tpr <= 1.
        """
        return float(first_threshold(self.reference, tpr))

    def read(
        self, pictures: Given, converted: Counter[str] | None = None
    ) -> list[UInt8[np.ndarray, "s s 3"] | str]:
        """Return each picture as the network takes it, or why it cannot be read.

        Files and PIL pictures are turned upright, laid on white and scaled to 8 bits as
        datasets/pixels.py says; `converted` counts how many were.
        """
        read = partial(read_told, rows_given(pictures), **self.image)
        with ThreadPoolExecutor(run_setting("workers")) as pool:
            found = list(pool.map(read, range(len(pictures))))
        if converted is not None:
            converted.update(note for _, notes in found for note in notes)
        return [item for item, _ in found]

    def judge(self, images: Pictures, *, tpr: float) -> Verdict:
        """Return what the detector says of pictures that `read` returned.

        Raises ValueError if a score is not finite.
        """
        threshold = self.threshold(tpr)

        def side_by_side(x: Tensor) -> Tensor:
            score, logits = self.network(x)
            return torch.cat([score[:, None].to(logits.device), logits], 1)

        table = predict(
            side_by_side, images, batch_size=inference_batch(), device=self.device, crop=self.crop
        ).numpy()
        if not np.isfinite(table).all():
            raise ValueError(
                f"{self.score} and logits must be finite, and are not for "
                f"{(~np.isfinite(table)).any(1).sum()} of {len(table)} pictures: the detector "
                "diverged; train it again with a lower detector.lr"
            )
        scores = table[:, 0]
        decisions = np.where(scores >= threshold, "ID", "OOD")
        return Verdict(scores, decisions, np.array(self.classes)[table[:, 1:].argmax(1)])

    def __call__(self, pictures: Given, *, tpr: float = LEVEL) -> Verdict:
        """Return scores, decisions and classes of pictures: what `bood score` writes.

        `pictures` are PIL pictures, paths, or uint8 [n, h, w, 3], RGB, of any size. Raises
        TypeError or ValueError for other things, and ValueError that names what is unreadable.
        """
        self.threshold(tpr)  # refuse a bad one before reading
        found = self.read(pictures)
        if unreadable := [item for item in found if isinstance(item, str)]:
            raise ValueError(f"{len(unreadable)} pictures are unreadable: {'; '.join(unreadable)}")
        if not found:
            raise ValueError("there must be at least one picture, got none")
        return self.judge(np.stack(found), tpr=tpr)


def own_file(kind: str, settings: Mapping, file: Path | str | None) -> str:
    """Return the file of a method or of a score (`kind`) of one's own, "" for the package's.

    Raises ValueError unless it is the file that the artifact was made with.
    """
    if "content" not in settings:
        return ""
    name, option = settings[kind], OPTIONS[kind]
    if file is None:
        raise ValueError(
            f"the detector's {kind} {name} is a Python file of your own; name it: "
            f"--{option.replace('_', '-')} FILE, or load_detector(..., {option}=FILE)"
        )
    if not Path(file).is_file() or code_digest(Path(file)) != settings["content"]:
        raise ValueError(
            f"the {kind} must be the file that {name} was made with, got {file}, which is "
            "another; give that one, or let Snakemake make the artifact again"
        )
    return str(file)


def load_detector(
    path: Path | str,
    device: str = "cpu",
    *,
    score: str | None = None,
    method: Path | str | None = None,
    score_file: Path | str | None = None,
) -> TrainedDetector:
    """Return a trained detector, to be called on pictures.

    `path` is the folder of a scores artifact, or of a detector's with `score` to choose among its
    scores; `method` and `score_file` are the Python files of a method and of a score of one's own.
    Warns if there are no ID
    validation scores: thresholds then follow from ID test scores. Raises ValueError or OSError
    that says what is wrong with the artifact.
    """
    lineage = trace(path, score)
    source, scores = own_file("method", lineage.detector.settings, method), lineage.scores
    own = own_score(scores.settings, own_file("score", scores.settings, score_file))
    exact = float64_device(device)
    state = load_file(scores.folder / STATE, exact) if STATE in scores.files else {}
    network = ScoredNetwork(
        load_model(lineage.detector, device, source),
        scores.settings,
        state,
        scores.json("score.json").get("magnitude", 0.0),
        own,
    )
    detector = TrainedDetector(network, lineage, device)
    if detector.calibration.endswith("/test"):
        warnings.warn(
            f"{scores.folder} has no ID validation scores, so thresholds follow from "
            f"{detector.calibration}: figures on that split are flattered by it",
            stacklevel=2,
        )
    return detector
