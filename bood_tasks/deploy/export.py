"""`bood export`: a trained detector with one score as an ONNX file that needs nothing of ours.

Input `pictures`: uint8 [n, 3, size, size], RGB, 0..255, n free, resized as `size`, `fit` and
`kernel` in the metadata say; scaling and centre crop are in the graph. Of texts `tokens`: int32
[n, l], n and l free, numbers of words, 0 behind each text's last; `vocabulary`, a JSON list, has
the words in the order of their numbers. Of a transformers folder `tokenizer` is its tokenizer.json
instead, and `pad` the number of its padding token, which trades places with 0. Outputs: `score`
float32 [n], larger = more ID, and `logits` float32 [n, v]. Metadata, all text: `score`, `threshold`
(a sample is ID if its score reaches it) with the share `tpr` of `calibration` that it accepts, all
three empty where no ID samples were held out, `classes` (a JSON list), and `size`, `fit`, `kernel`,
`crop` (in the graph; empty: none) or `vocabulary` or `tokenizer`, `words` (of a text that are read;
empty: all) and `min_words`.
"""

import json
import logging
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float, Int32, UInt8
from torch import Tensor, nn

from bood_tasks.datasets.vocabulary import FILE as VOCABULARY
from bood_tasks.deploy.inputs import PICTURES
from bood_tasks.deploy.trained import ScoredNetwork, Trained, load_trained
from bood_tasks.scoring.roc import LEVEL
from bood_tasks.training.augmentation import centre_crop
from bood_tasks.training.predict import are_tokens, as_input

Samples = UInt8[Tensor, "n 3 h w"] | Int32[Tensor, "n l"]


class Graph(nn.Module):
    """A detector from pixels, or numbers of words, to score and logits."""

    def __init__(self, network: ScoredNetwork, crop: int | None):
        super().__init__()
        self.network, self.crop = network, crop

    def forward(self, samples: Samples) -> tuple[Float[Tensor, " n"], Float[Tensor, "n v"]]:
        if not are_tokens(samples):
            samples = centre_crop(samples, self.crop)
        return self.network(as_input(samples))


def preprocessing(trained: Trained) -> dict:
    """Return how a sample is read, as config.json of a bundle says it."""
    given = trained.detector.input
    if given.kind == PICTURES:
        image = {"size": given.size, "fit": given.fit, "kernel": given.kernel}
        return image | {"crop": trained.crop}
    return {
        "words": given.words, "min_words": given.min_words, "stop_words": given.stop_words,
        "pad": given.pad,
    }  # fmt: skip


def metadata(trained: Trained) -> dict[str, str]:
    """Return what a user of the file must know; the module's docstring explains the keys."""
    detector, reading = trained.detector, preprocessing(trained)
    calibrated = detector.reference is not None
    given = {
        "score": detector.score,
        "threshold": detector.threshold(LEVEL) if calibrated else "",
        "tpr": LEVEL if calibrated else "",
        "calibration": detector.calibration,
        "classes": json.dumps(detector.classes),
        **reading,
    }
    if detector.kind != PICTURES:
        file = trained.lineage.upstream("vocabulary").folder / VOCABULARY
        text = file.read_text(encoding="utf-8")
        if detector.input.pad is None:
            numbers = json.loads(text)["model"]["vocab"]
            given["vocabulary"] = json.dumps(sorted(numbers, key=numbers.get))
        else:
            given["tokenizer"] = text
    return {name: "" if value is None else str(value) for name, value in given.items()}


def why_none(network: ScoredNetwork) -> str:
    """Return why a detector cannot be an ONNX graph, "" if it can."""
    if not network.magnitude:
        return ""
    return (
        f"the score must not need gradients, got {network.settings['score']} with magnitude "
        f"{network.magnitude:g}: ONNX holds no backward pass"
    )


def write_graph(trained: Trained, out: Path, given: Mapping[str, str]) -> None:
    """Write a detector's ONNX file with `given` as metadata, whole or not at all."""
    kind = trained.detector.kind
    if kind == PICTURES:
        name, side = "pictures", trained.detector.input.size
        example, free = torch.zeros(2, 3, side, side, dtype=torch.uint8), {0: "n"}
    else:
        name, example, free = "tokens", torch.ones(3, 5, dtype=torch.int32), {0: "n", 1: "l"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own code
        for library in ("torch.onnx", "onnxscript", "onnx_ir"):
            logging.getLogger(library).setLevel(logging.ERROR)
        program = torch.onnx.export(
            Graph(trained.network, trained.crop).eval(),
            (example,),
            input_names=[name],
            output_names=["score", "logits"],
            dynamic_shapes={"samples": {k: torch.export.Dim(v) for k, v in free.items()}},
            dynamo=True,
            verbose=False,
        )
    program.model.metadata_props.update(given)
    scratch = out.with_name(out.name + ".tmp")
    try:
        program.save(scratch)
        os.replace(scratch, out)
    finally:
        scratch.unlink(missing_ok=True)


def export(
    artifact: Path,
    out: Path,
    *,
    score: str | None = None,
    method: Path | None = None,
    score_file: Path | None = None,
) -> None:
    """Write a detector's ONNX file.

    Raises ValueError for a score that moves pictures along a gradient, which ONNX has none of.
    """
    if not out.resolve().parent.is_dir():
        raise FileNotFoundError(f"--out must lie in a folder that is there, got {out}; make it")
    if out.is_symlink() or (out.exists() and not out.is_file()):
        raise ValueError(f"--out must be a file of its own, got {out}; name another")
    trained = load_trained(artifact, score=score, method=method, score_file=score_file)
    if why := why_none(trained.network):
        raise ValueError(
            f"{why}; choose another score of this detector by --score, or use `bood score`"
        )
    told = metadata(trained)
    write_graph(trained, out, told)
    reading = " ".join(f"{name}={value}" for name, value in preprocessing(trained).items())
    accepts = (
        f">= {told['threshold']} is ID and accepts {LEVEL:.4g} of {told['calibration']}"
        if told["threshold"]
        else "no threshold, for no ID samples were held out"
    )
    print(f"{out}: score {told['score']}, {accepts}; {trained.detector.kind} are read by {reading}",
          file=sys.stderr)  # fmt: skip
