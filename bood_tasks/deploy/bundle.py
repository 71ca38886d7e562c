"""A bundle: one detector as a folder, or one zip file, that needs nothing beside it.

`config.json` says what it is, `model.onnx` runs it, `calibration.npy` has the scores of the ID
validation samples; texts have `tokenizer.json`. `model.safetensors` and `score.safetensors` hold
the same network and the score's fitted numbers for torch (trained.py), README.md is for people.
Reading needs numpy, onnxruntime and Pillow alone; nothing in a bundle is run as code.
"""

import hashlib
import io
import json
import os
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bood_tasks.datasets.bounded import most_of
from bood_tasks.deploy.detector import Detector, Run
from bood_tasks.deploy.inputs import PICTURES, PictureInput, TextInput
from bood_tasks.deploy.words import encoder_of

FORMAT = 1  # rises when older packages cannot read what newer ones write
CONFIG, CARD = "config.json", "README.md"
GRAPH, WEIGHTS, STATE = "model.onnx", "model.safetensors", "score.safetensors"
CALIBRATION, TOKENIZER = "calibration.npy", "tokenizer.json"
MARK = "bood_format"  # the key of config.json that tells a bundle from other folders
THREADS = "OMP_NUM_THREADS"


def is_bundle(path: Path) -> bool:
    """Whether a path is a zip file, or a folder that holds a bundle's configuration."""
    if path.is_dir():
        config = path / CONFIG
        return config.is_file() and MARK in config.read_text(encoding="utf-8", errors="replace")
    return path.is_file() and zipfile.is_zipfile(path)


@dataclass(frozen=True)
class Bundle:
    """The files of a bundle, of a folder or a zip file."""

    path: Path

    def _content(self, name: str) -> bytes:
        if self.path.is_dir():
            return (self.path / name).read_bytes()
        with zipfile.ZipFile(self.path) as archive:
            info = next(item for item in archive.infolist() if item.filename == name)
            if info.file_size > most_of(info.compress_size):
                raise ValueError(f"{self.path}: {name} claims to be far larger than it can be")
            return archive.read(info)

    @cached_property
    def config(self) -> dict:
        """What config.json says. Raises ValueError for another format, or none."""
        try:
            found = json.loads(self._content(CONFIG))
            version = found[MARK]
        except (StopIteration, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{self.path} must be a bundle, and has no {CONFIG} of one ({error}); "
                "`bood bundle` makes bundles"
            ) from None
        if version != FORMAT:
            raise ValueError(
                f"{self.path} has format {version}, and this package reads {FORMAT}; install the "
                f"version that wrote it, {found.get('bood_version', 'unknown')}"
            )
        return found

    def __contains__(self, name: str) -> bool:
        return name in self.config["files"]

    def read(self, name: str) -> bytes:
        """Return a file's content. Raises ValueError if it is not what the bundle was made with."""
        try:
            content = self._content(name)
        except (OSError, StopIteration, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{self.path} must hold {name} ({error}); copy the bundle again"
            ) from None
        if hashlib.sha256(content).hexdigest() != self.config["files"][name]:
            raise ValueError(
                f"{self.path}: {name} has other content than the bundle was made with; copy the "
                "bundle again, or make it anew by `bood bundle`"
            )
        return content


def input_of(bundle: Bundle) -> PictureInput | TextInput:
    """Return how a bundle's samples are read."""
    given = bundle.config["preprocessing"]
    if bundle.config["kind"] == PICTURES:
        return PictureInput(given["size"], given["fit"], given["kernel"])
    words, pad = given["words"], given.get("pad")
    encode = encoder_of(bundle.read(TOKENIZER), pad=pad, words=words)
    return TextInput(encode, words, given["min_words"], given["stop_words"], pad)


def detector_of(bundle: Bundle, run: Run) -> Detector:
    """Return the detector that a bundle describes, run by `run`."""
    config, reference = bundle.config, None
    if CALIBRATION in bundle:
        reference = np.load(io.BytesIO(bundle.read(CALIBRATION)), allow_pickle=False)
    return Detector(
        config["score"]["name"], config["classes"], input_of(bundle), run,
        config["calibration"]["split"] if config["calibration"] else "", reference,
    )  # fmt: skip


def runner(graph: bytes) -> Run:
    """Return what runs an ONNX graph of ours (export.py)."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get(THREADS, 0))  # 0: one a core
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        given = np.ascontiguousarray(batch.transpose(0, 3, 1, 2)) if batch.ndim == 4 else batch
        score, logits = session.run(["score", "logits"], {name: given})
        return score, logits

    return run


def open_bundle(path: Path | str) -> Detector:
    """Return a bundle's detector, run by onnxruntime on the CPU.

    Raises ValueError for what is no bundle, is damaged, or holds no graph.
    """
    bundle = Bundle(Path(path))
    if GRAPH not in bundle:
        raise ValueError(
            f"{path} holds no {GRAPH}, for {bundle.config['score']['name']} needs gradients: it is "
            "run by torch alone, load_detector(..., device='cpu') where the whole package is "
            "installed"
        )
    return detector_of(bundle, runner(bundle.read(GRAPH)))
