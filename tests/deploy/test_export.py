"""ONNX files: onnxruntime, which knows nothing of ours, must say what the stages' arrays say."""

import json
import re

import numpy as np
import onnx
import onnxruntime
import PIL.Image
import pytest
import torch

from bood_tasks import PROJECT, load_detector
from bood_tasks.cli.main import main
from bood_tasks.datasets.pictures import fit_picture
from bood_tasks.deploy.export import export
from bood_tasks.scoring.posthoc.base import Outputs
from tests.scoring.test_posthoc import POSTHOC, classifier, fitted, named, outputs
from tests.tiny_detector import CLASSES, COUNTS, CROP, IMAGE, Tiny, pictures


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("tiny"))


CASES = [
    ("cross_entropy", "knn", {}),
    ("cross_entropy", "vim", {}),
    ("cross_entropy", "react", {}),
    ("cross_entropy", "mahalanobis_ensemble", {}),
    ("cross_entropy", "odin", {"magnitudes": [0.0]}),
    ("godin", "godin", {"magnitudes": [0.0]}),
    ("vos", "vos", {}),
    ("npos", "npos", {}),
]


@pytest.mark.parametrize(
    ("method", "score", "more"),
    [  # torch exports each for seconds
        pytest.param(*case, id=case[1], marks=pytest.mark.long if case[1] != "vim" else [])
        for case in CASES
    ],
)
def test_onnxruntime_agrees_with_the_stages(tiny, tmp_path, monkeypatch, method, score, more):
    monkeypatch.setattr(
        "bood_tasks.scoring.posthoc.base.ROWS", 5
    )  # blocks must leave no trace in the graph
    monkeypatch.setattr(
        "bood_tasks.scoring.posthoc.neighbours.SIMILARITIES", 5 * COUNTS["pets/train"]
    )
    made, file = tiny.scores(method, score, **more), tmp_path / "model.onnx"
    export(made.folder, file)
    onnx.checker.check_model(file, full_check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]  # weights inside
    session = onnxruntime.InferenceSession(file)
    images = np.stack([fit_picture(picture, **IMAGE) for picture in pictures("pets/test")])
    images = images.transpose(0, 3, 1, 2)
    logits = tiny.outputs(method)["pets/test/logits"][:]
    for rows in (slice(3, 4), slice(0, 7)):
        found = session.run(["score", "logits"], {"pictures": images[rows]})
        np.testing.assert_allclose(found[0], made["pets/test/score"][rows], rtol=1e-4)
        np.testing.assert_allclose(found[1], logits[rows], rtol=1e-4, atol=1e-5)
    said = session.get_modelmeta().custom_metadata_map
    detector = load_detector(made.folder)
    assert json.loads(said.pop("classes")) == CLASSES
    assert float(said.pop("threshold")) == detector.threshold(0.95)
    assert said == {
        "score": score, "tpr": "0.95", "calibration": "pets/validation", "crop": str(CROP),
        "size": str(IMAGE["size"]), "fit": IMAGE["fit"], "kernel": IMAGE["kernel"],
    }  # fmt: skip


@pytest.mark.long  # seconds of torch's export
@pytest.mark.filterwarnings("ignore")  # about torch's own code
def test_every_score_of_outputs_goes_into_a_graph(tmp_path, monkeypatch):
    """All in one graph, without a network: the states as a detector holds them."""
    head = classifier()
    training, test = outputs(200, head, seed=1), outputs(40, head, seed=2, spread=2.0)
    wanted = [(name, {}) for name in POSTHOC] + [("ash", {"variant": v}) for v in "pb"]
    scores = [named(name, **more) for name, more in wanted]
    states = [
        {
            key: value if value.ndim else value.item()
            for key, value in fitted(name, training).items()
        }
        for name, _ in wanted
    ]

    class Every(torch.nn.Module):
        def forward(self, features, logits, first, second):
            given = Outputs(features, logits, (first, second))
            read = zip(scores, states, strict=True)
            return torch.stack([score.score(given, state) for score, state in read])

    monkeypatch.setattr("bood_tasks.scoring.posthoc.base.ROWS", 5)
    rows = [test.features, test.logits, *test.stages]
    program = torch.onnx.export(
        Every().eval(), tuple(x[:3] for x in rows), dynamo=True, verbose=False,
        dynamic_shapes=tuple({0: torch.export.Dim("n")} for _ in rows),
    )  # fmt: skip
    program.save(tmp_path / "all.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "all.onnx")
    names = [x.name for x in session.get_inputs()]
    (found,) = session.run(None, {n: x.numpy() for n, x in zip(names, rows, strict=True)})
    for (name, more), ours, score, state in zip(wanted, found, scores, states, strict=True):
        expected = score.score(test, state)
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5, err_msg=f"{name} {more}")


@pytest.mark.parametrize(
    ("method", "score", "size"),
    [
        ("cross_entropy", "odin", "0.0"),
        ("cross_entropy", "iodin", "0.0"),
        ("cross_entropy", "adascale", "0.5"),
        ("godin", "godin", "0.0"),
    ],
)
def test_a_score_that_needs_gradients_is_refused(tiny, tmp_path, method, score, size):
    folder = tiny.scores(method, score).folder
    with pytest.raises(SystemExit) as caught:
        main(["export", "--detector", str(folder), "--out", str(tmp_path / "x.onnx")])
    assert f"must not need gradients, got {score} with magnitude {size}" in caught.value.code
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_refused(tiny, tmp_path):
    with pytest.raises(FileNotFoundError, match="--out must lie in a folder that is there"):
        export(tiny.scores("vos", "vos").folder, tmp_path / "none" / "x.onnx")


def test_a_folder_or_a_link_is_no_file_to_write(tiny, tmp_path):
    detector = tiny.scores("vos", "vos").folder
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.onnx").symlink_to(tmp_path / "elsewhere")
    for name in ("folder", "link.onnx"):
        with pytest.raises(ValueError, match="--out must be a file of its own"):
            export(detector, tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "link.onnx"}


@pytest.mark.parametrize("shape", [(32, 32), (90, 61), (400, 33), (8, 20), (1, 300)])
def test_the_page_s_way_to_resize_is_the_data_sets_own(shape):
    page = (PROJECT / "docs" / "deploy.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(from PIL.*?)```", page, re.DOTALL)
    defined: dict = {}
    exec(code, defined)
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(pixels)
    found = np.asarray(defined["padded"](picture, 32))
    np.testing.assert_array_equal(found, fit_picture(picture, size=32, fit="pad"))
