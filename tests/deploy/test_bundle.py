"""Bundles: what is written stands alone, says what the artifacts say, and is read without torch."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import yaml
from scipy import stats

from bood_tasks import PROJECT, load_detector
from bood_tasks.artifacts.store import Artifact
from bood_tasks.cli.main import main
from bood_tasks.deploy.bundle import Bundle
from bood_tasks.deploy.card import escaped
from bood_tasks.deploy.write_bundle import bundle, pack
from bood_tasks.scoring.intervals import accepted_interval, threshold_interval
from tests import fake_artifacts
from tests.tiny_detector import CLASSES, CROP, IMAGE, Tiny, pictures


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def knn(tiny) -> Artifact:
    """A score that is fitted, and the metrics that read it."""
    made = tiny.scores("cross_entropy", "knn")
    spec = {
        "test": ["near"], "validation": ["far"], "control": [], "threshold": "first", "id": "pets",
        "rows": [{"method": "ce", "variant": "", "seed": 0, "score": "knn"}],
    }  # fmt: skip
    from bood_tasks.scoring import metrics

    fake_artifacts.run_stage(tiny.root, metrics.main, "metrics", spec, {"scores": [made]})
    return made


@pytest.fixture(scope="module")
def written(knn, tmp_path_factory):
    """A bundle, as a folder, far from the artifacts."""
    out = tmp_path_factory.mktemp("bundle") / "pets"
    bundle(knn.folder, out)
    return out


def test_a_bundle_says_what_its_artifacts_say(knn, written, tmp_path):
    copied = tmp_path / "elsewhere"
    shutil.copytree(written, copied)
    detector, wanted = load_detector(copied), load_detector(knn.folder)
    for part in ("pets/test", "near/test"):
        found, other = detector(pictures(part)), wanted(pictures(part))
        np.testing.assert_allclose(found.scores, knn[f"{part}/score"][:], rtol=1e-4)
        assert found.decisions.tolist() == other.decisions.tolist()
        assert found.classes.tolist() == other.classes.tolist()
        one = detector(pictures(part)[2:3])  # batch and single are the same
        np.testing.assert_allclose(one.scores, found.scores[2:3], rtol=1e-5)
    for tpr in (0.5, 0.95):
        assert detector.threshold(tpr) == wanted.threshold(tpr)
    by_torch = load_detector(copied, "cpu")(pictures("near/test"))
    np.testing.assert_allclose(by_torch.scores, knn["near/test/score"][:], rtol=1e-4)


def test_one_file_is_read_as_it_is(knn, written, tmp_path):
    bundle(knn.folder, tmp_path / "one.zip", zipped=True)
    assert [path.name for path in tmp_path.iterdir()] == ["one.zip"]
    found, same = (
        load_detector(path)(pictures("pets/test")) for path in (tmp_path / "one.zip", written)
    )
    np.testing.assert_array_equal(found.scores, same.scores)
    for name in ("a.zip", "b.zip"):
        pack(written, tmp_path / name)
        os.utime(written / "config.json", (0, 1e9))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_the_configuration_holds_what_a_user_needs(knn, written):
    config = json.loads((written / "config.json").read_text())
    assert config["classes"] == CLASSES
    assert config["preprocessing"] == IMAGE | {"crop": CROP}
    assert config["calibration"] == {"split": "pets/validation", "count": 21}
    assert [item["tpr"] for item in config["thresholds"]] == [0.8, 0.9, 0.95, 0.99]
    held_out = knn["pets/validation/score"][:]
    for item in config["thresholds"]:
        assert (held_out >= item["threshold"]).mean() >= item["tpr"]
        assert item["accepts_low"] < item["tpr"] < item["accepts_high"]
        assert item["low"] is None or item["low"] <= item["threshold"]
        assert item["high"] >= item["threshold"]
    files = {path.name for path in written.iterdir()} - {"config.json"}
    assert set(config["files"]) == files
    for name, digest in config["files"].items():
        assert hashlib.sha256((written / name).read_bytes()).hexdigest() == digest
    assert files == {
        "README.md", "calibration.npy", "model.onnx", "model.safetensors", "score.safetensors"
    }  # fmt: skip


def test_the_card_has_the_figures_of_the_metrics(tiny, knn, written):
    import pandas as pd

    folder = next((tiny.root / "artifacts/metrics").glob("*/*/metrics.csv")).parent
    measured = pd.read_csv(folder / "metrics.csv", keep_default_na=False)
    intervals = pd.read_csv(folder / "intervals.csv", keep_default_na=False)
    config = json.loads((written / "config.json").read_text())
    assert {(item["dataset"], item["role"]) for item in config["figures"]} == {
        ("near", "test"), ("far", "validation")
    }  # fmt: skip
    for item in config["figures"]:

        def row(table, item=item):
            of = (table.ood_dataset == item["dataset"]) & (table.metric == item["metric"])
            return table[of & table.convention.isin(["", "id"])].iloc[0]

        assert item["value"] == row(measured).value
        assert item["low"] == pytest.approx(row(intervals).low, abs=1e-5)
        assert item["high"] == pytest.approx(row(intervals).high, abs=1e-5)
    text = (written / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["pipeline_tag"] == "image-classification"
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"]["type"] == "near"
    assert "Thresholds rest on 21 ID samples" in body
    assert "Cross-entropy, KNN, on pets" in body
    for heading in ("Warnings", "Use", "Thresholds", "Figures", "Training", "Data", "Origin"):
        assert f"## {heading}\n" in body


def test_damage_is_named_before_anything_is_run(written, tmp_path):
    for name in ("model.onnx", "calibration.npy"):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(written, tmp_path / "copy")
        content = bytearray((tmp_path / "copy" / name).read_bytes())
        content[-3] ^= 1
        (tmp_path / "copy" / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name} has other content.*copy the bundle again"):
            load_detector(tmp_path / "copy")
        (tmp_path / "copy" / name).unlink()
        with pytest.raises(ValueError, match=rf"must hold {name}"):
            load_detector(tmp_path / "copy")


def test_another_format_and_other_zip_files_are_refused(written, tmp_path):
    config = json.loads((written / "config.json").read_text())
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        archive.writestr("config.json", json.dumps(config | {"bood_format": 99}))
    with pytest.raises(ValueError, match="has format 99, and this package reads 1"):
        load_detector(tmp_path / "new.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(ValueError, match=r"must be a bundle, and has no config\.json"):
        load_detector(tmp_path / "other.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b"0" * 2**27)
    with pytest.raises(ValueError, match="far larger than it can be"):
        Bundle(tmp_path / "bomb.zip").config  # noqa: B018


def test_a_place_that_is_taken_is_left_alone(knn, tmp_path, capsys):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    for out in (taken, taken / "mine.txt", tmp_path / "none/there"):
        with pytest.raises(SystemExit) as caught:
            main(["bundle", "--detector", str(knn.folder), str(out)])
        assert caught.value.code == 2
        assert "error: OUT must" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["taken", "mine.txt"]


def test_a_bundle_that_scores_otherwise_is_not_handed_over(tiny, tmp_path, monkeypatch):
    made = tiny.scores("cross_entropy", "odin")
    monkeypatch.setattr(
        "bood_tasks.deploy.trained.runner",
        lambda *given: lambda batch: (np.zeros(len(batch)), np.zeros((len(batch), 3))),
    )
    with pytest.raises(ValueError, match="must score as its artifact does, and differs"):
        bundle(made.folder, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("score", ["odin", "adascale"])
def test_a_score_that_needs_gradients_is_run_by_torch(tiny, tmp_path, score):
    made = tiny.scores("cross_entropy", score)
    bundle(made.folder, tmp_path / "whole")
    assert not (tmp_path / "whole/model.onnx").exists()
    found = load_detector(tmp_path / "whole")(pictures("near/test"))
    np.testing.assert_allclose(found.scores, made["near/test/score"][:], rtol=1e-4)


LIGHT = """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        allowed = top in sys.stdlib_module_names or top in (
            "bood_tasks", "numpy", "onnxruntime", "PIL")
        if not allowed:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hide())
"""


def alone(code: str, *arguments) -> subprocess.CompletedProcess:
    """Run Python with numpy, onnxruntime and Pillow and nothing else of others'."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.run(
        [sys.executable, "-c", LIGHT + code, *map(str, arguments)],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip


def test_three_libraries_are_enough(knn, written, tmp_path):
    """The extra `score`."""
    for number, picture in enumerate(pictures("pets/test")):
        picture.save(tmp_path / f"{number:02}.png")
    code = "from bood_tasks.cli.main import main; main(sys.argv[1:])"
    made = ("--out", tmp_path / "out.csv", "--html", tmp_path / "page.html")
    done = alone(code, "score", "--bundle", written, *made, tmp_path)
    assert done.returncode == 0, done.stderr
    found = np.genfromtxt(tmp_path / "out.csv", delimiter=",", skip_header=1, usecols=1)
    np.testing.assert_allclose(found, knn["pets/test/score"][:], rtol=1e-4)
    assert alone("import torch").returncode == 1  # the hook hides


def test_a_threshold_s_interval_holds_the_right_one_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for count, tpr in ((50, 0.8), (400, 0.95)):
        right = stats.norm.isf(tpr)
        ends = [threshold_interval(rng.standard_normal(count), tpr) for _ in range(2000)]
        inside = np.mean([low <= right <= high for low, high in ends])
        assert 0.94 < inside <= 0.99
    low, high = threshold_interval(rng.standard_normal(20), 0.99)
    assert low is None  # 20 samples do not bound the lowest hundredth
    assert high is not None


def test_the_share_that_is_accepted_lies_where_it_is_said_to():
    rng, count, inside = np.random.default_rng(1), 60, []
    for _ in range(2000):
        scores = rng.random(count)
        at = np.sort(scores)[::-1][47]  # 48 of 60 reach it
        low, high = accepted_interval(48, count)
        inside.append(low <= 1 - at <= high)
    assert 0.935 < np.mean(inside) < 0.965


def test_names_are_no_markup():
    assert escaped("<script>|[x](y)*\n`") == r"&lt;script&gt;\|\[x\](y)\*" + r" \`"


def test_a_network_of_one_s_own_is_run_by_its_graph_alone(written, tmp_path):
    shutil.copytree(written, tmp_path / "copy")
    config = json.loads((written / "config.json").read_text()) | {"network_files": True}
    (tmp_path / "copy/config.json").write_text(json.dumps(config))
    assert len(load_detector(tmp_path / "copy")(pictures("near/test")).scores) == 5
    with pytest.raises(ValueError, match="leave the device out"):
        load_detector(tmp_path / "copy", "cpu")
