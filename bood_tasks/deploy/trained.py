"""A trained detector run by torch: from its artifacts (lineage.py), or from a bundle.

Nothing is fitted or chosen here: the score's state and magnitude are the artifact's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load, load_file
from torch import Tensor, nn

from bood_tasks.artifacts.code import code_digest
from bood_tasks.catalogue.scores import moves
from bood_tasks.datasets.vocabulary import FILE as VOCABULARY
from bood_tasks.deploy.bundle import STATE as BUNDLED_STATE
from bood_tasks.deploy.bundle import WEIGHTS, Bundle, detector_of
from bood_tasks.deploy.detector import Detector, Run
from bood_tasks.deploy.inputs import PictureInput, TextInput
from bood_tasks.deploy.lineage import Lineage, trace
from bood_tasks.deploy.words import encoder_of
from bood_tasks.detectors.method import Input, Method
from bood_tasks.detectors.model import build, load_model
from bood_tasks.jobs.environment import inference_batch
from bood_tasks.networks.float64 import float64_device
from bood_tasks.scoring.posthoc.base import Score, State
from bood_tasks.scoring.posthoc.table import own_score
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

    def forward(self, x: Input) -> tuple[Float[Tensor, " b"], Float[Tensor, "b v"]]:
        """Return the scores and the class logits of network input."""
        given = self.model.outputs(x)
        if moves(self.settings["score"], self.settings):
            magnitudes = [self.magnitude]
            score = of_pictures(self.model, x, self.settings, magnitudes, self.state)[:, 0]
        else:
            score = of_outputs(self.settings, given, self.state, self.own)
        return score, given["logits"]


@dataclass(frozen=True)
class Trained:
    """A detector, the network that it runs and what that was made from; `crop`: the pixels of a
    picture that the network sees, None meaning all."""

    detector: Detector
    network: ScoredNetwork
    lineage: Lineage
    crop: int | None


def runner(network: ScoredNetwork, device: str, crop: int | None) -> Run:
    """Return what runs a network by torch."""

    def side_by_side(x: Tensor) -> Tensor:
        score, logits = network(x)
        return torch.cat([score[:, None].to(logits.device), logits], 1)

    def run(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        table = predict(
            side_by_side, batch, batch_size=inference_batch(), device=device, crop=crop
        ).numpy()
        return table[:, 0], table[:, 1:]

    return run


def own_file(kind: str, settings: Mapping, file: Path | str | None) -> str:
    """Return the file of a method or of a score (`kind`) of one's own, "" for the package's.

    Raises ValueError unless it is the file that the artifact was made with.
    """
    if "content" not in settings or kind not in settings:  # of weights as they are: their file's
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


def input_of(lineage: Lineage) -> PictureInput | TextInput:
    """Return how samples are read: as the ID data set's were."""
    if lineage.texts:
        settings = lineage.dataset.settings
        vocabulary, words = lineage.upstream("vocabulary"), settings["words"]
        pad = vocabulary.json("vocabulary.json").get("pad")
        encode = encoder_of((vocabulary.folder / VOCABULARY).read_bytes(), pad=pad, words=words)
        stop_words = lineage.upstream("corpus").settings.get("stop_words", "kept")
        return TextInput(encode, words, settings["min_words"], stop_words, pad)
    image = lineage.dataset.settings["image"]
    return PictureInput(image["size"], image["fit"], image["kernel"])


def load_trained(
    path: Path | str,
    device: str = "cpu",
    *,
    score: str | None = None,
    method: Path | str | None = None,
    score_file: Path | str | None = None,
) -> Trained:
    """Return the detector of a scores or detector artifact; arguments as load_detector's."""
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
    name, crop = scores.settings["id"], lineage.crop
    held_out = f"{name}/validation/score" in scores
    detector = Detector(
        scores.settings["score"],
        lineage.dataset.json("dataset.json")["classes"],
        input_of(lineage),
        runner(network, device, crop),
        f"{name}/validation" if held_out else "",
        scores[f"{name}/validation/score"][:] if held_out else None,
    )
    return Trained(detector, network, lineage, crop)


def load_bundle(
    bundle: Bundle,
    device: str,
    *,
    method: Path | str | None = None,
    score_file: Path | str | None = None,
) -> Detector:
    """Return a bundle's detector, run by torch: on a GPU, or with a score that needs gradients.

    Raises ValueError for a network of one's own: a bundle's graph is run, never its code.
    """
    if bundle.config["network_files"]:
        raise ValueError(
            f"{bundle.path} is of a network that is built from files of one's own, which a bundle "
            "does not hold: leave the device out, and onnxruntime runs it; or load the artifact"
        )
    network, score = bundle.config["network"], bundle.config["score"]
    source = own_file("method", network, method)
    own = own_score(score["settings"], own_file("score", score["settings"], score_file))
    model = build(network, source)
    model.load_state_dict(load(bundle.read(WEIGHTS)))
    state = load(bundle.read(BUNDLED_STATE)) if BUNDLED_STATE in bundle else {}
    exact = float64_device(device)
    scored = ScoredNetwork(
        model.to(device, memory_format=torch.channels_last).eval(),
        score["settings"],
        {name: value.to(exact) for name, value in state.items()},
        score["magnitude"],
        own,
    )
    return detector_of(bundle, runner(scored, device, bundle.config["preprocessing"].get("crop")))
