"""`load_detector`: a trained detector from its bundle, or from its artifacts.

Imports nothing heavy: a bundle is run by onnxruntime, and torch is imported for artifacts, for a
GPU and for scores that need gradients.
"""

from pathlib import Path

from bood_tasks.deploy.bundle import GRAPH, Bundle, is_bundle, open_bundle
from bood_tasks.deploy.detector import Detector


def load_detector(
    path: Path | str,
    device: str = "",
    *,
    score: str | None = None,
    method: Path | str | None = None,
    score_file: Path | str | None = None,
) -> Detector:
    """Return a trained detector, to be called on pictures or texts.

    `path` is a bundle (a folder or a zip file that `bood bundle` wrote), the folder of a scores
    artifact, or of a detector's with `score` to choose among its scores. `device`: of torch's,
    which runs artifacts (without one on the CPU); a bundle is run by onnxruntime unless one is
    given or its score needs gradients. `method` and `score_file` are the Python files of a method
    and of a score of one's own. Raises ValueError or OSError that says what is wrong.
    """
    path = Path(path)
    if not is_bundle(path):
        from bood_tasks.deploy.trained import load_trained

        return load_trained(
            path, device or "cpu", score=score, method=method, score_file=score_file
        ).detector
    bundle = Bundle(path)
    if score not in (None, held := bundle.config["score"]["name"]):
        raise ValueError(f"{path} holds the score {held}, not {score}; make a bundle of that one")
    if not device and GRAPH in bundle:
        return open_bundle(path)
    try:
        import torch  # noqa: F401
    except ImportError:
        return open_bundle(path)  # which says why it cannot
    from bood_tasks.deploy.trained import load_bundle

    return load_bundle(bundle, device or "cpu", method=method, score_file=score_file)
