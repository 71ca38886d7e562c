"""`bood export`: a trained detector with one score as an ONNX file that needs nothing of ours.

Input `pictures`: uint8 [n, 3, size, size], RGB, 0..255, n free, resized as `size`, `fit` and
`kernel` in the metadata say; scaling and centre crop are in the graph. Outputs: `score` float32
[n], larger = more ID, and `logits` float32 [n, v]. Metadata, all text: `score`, `threshold` (a
picture is ID if its score reaches it) with the share `tpr` of `calibration` that it accepts,
`classes` (a JSON list), `size`, `fit`, `kernel`, `crop` (in the graph; empty: none).
"""

import json
import logging
import os
import sys
import warnings
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from bood_tasks.deploy.load import ScoredNetwork, TrainedDetector, load_detector
from bood_tasks.networks.pixels import to_input
from bood_tasks.scoring.roc import LEVEL
from bood_tasks.training.augmentation import centre_crop


class Graph(nn.Module):
    """A detector from pixels to score and logits."""

    def __init__(self, network: ScoredNetwork, crop: int | None):
        super().__init__()
        self.network, self.crop = network, crop

    def forward(
        self, pictures: UInt8[Tensor, "n 3 h w"]
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, "n v"]]:
        return self.network(to_input(centre_crop(pictures, self.crop)))


def metadata(detector: TrainedDetector) -> dict[str, str]:
    """Return what a user of the file must know; the module's docstring explains the keys."""
    given = {
        "score": detector.score,
        "threshold": detector.threshold(LEVEL),
        "tpr": LEVEL,
        "calibration": detector.calibration,
        "classes": json.dumps(detector.classes),
        "crop": "" if detector.crop is None else detector.crop,
        **detector.image,
    }
    return {name: str(value) for name, value in given.items()}


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
    detector = load_detector(artifact, score=score, method=method, score_file=score_file)
    if detector.network.magnitude:
        raise ValueError(
            f"the score must not need gradients, got {detector.score} with magnitude "
            f"{detector.network.magnitude:g}: ONNX holds no backward pass; choose another score of "
            "this detector by --score, or use `bood score`"
        )
    side = detector.image["size"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own code
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            Graph(detector.network, detector.crop).eval(),
            (torch.zeros(2, 3, side, side, dtype=torch.uint8),),
            input_names=["pictures"],
            output_names=["score", "logits"],
            dynamic_shapes={"pictures": {0: torch.export.Dim("n")}},
            dynamo=True,
            verbose=False,
        )
    program.model.metadata_props.update(metadata(detector))
    scratch = out.with_name(out.name + ".tmp")
    try:
        program.save(scratch)
        os.replace(scratch, out)
    finally:
        scratch.unlink(missing_ok=True)
    told = metadata(detector)
    print(
        f"{out}: score {told['score']}, >= {told['threshold']} is ID and accepts {LEVEL:.4g} of "
        f"{told['calibration']}; it takes pictures of {side} x {side} pixels, resized by "
        f"{' '.join(f'{key}={value}' for key, value in detector.image.items())}",
        file=sys.stderr,
    )
