"""A trained detector in use, by Python and by `bood score`; the reference: the stages' arrays."""

import csv
import io
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr

import numpy as np
import PIL.Image
import pytest

import bood_tasks
from bood_tasks.artifacts.outside import content_digest
from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.scores import SCORES
from bood_tasks.cli.main import main
from bood_tasks.deploy.detector import Detector, NoThreshold
from bood_tasks.deploy.trained import own_file
from tests import fake_artifacts, tiny_detector
from tests.tiny_detector import CLASSES, IMAGE, Tiny, pictures

METHOD_OF = {  # all others: cross_entropy
    name: entry.method for name, entry in SCORES.items() if entry.method
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    """Detectors with random weights; tests that change something copy."""
    return Tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def energy(tiny) -> Artifact:
    return tiny.scores("cross_entropy", "energy")


@pytest.fixture
def folder(tmp_path):
    """The ID test pictures, as PNG files in a folder in a folder."""
    path = tmp_path / "pictures" / "below"
    path.mkdir(parents=True)
    for i, picture in enumerate(pictures("pets/test")):
        picture.save(path / f"{i:02d}.png")
    return path.parent


def bood(*arguments) -> tuple[int, str]:
    """Run a command; return its exit code and what it said."""
    said = io.StringIO()
    with pytest.raises(SystemExit) as caught, redirect_stderr(said):
        main([str(item) for item in arguments])
    return caught.value.code, said.getvalue()


def rows(path) -> list[dict]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize(
    ("score", "more"),
    [
        *(pytest.param(score, {}, id=score) for score in SCORES),
        pytest.param("mahalanobis", {"magnitudes": [0.02, 0.04]}, id="mahalanobis-moved"),
    ],
)
def test_every_score_is_the_one_that_its_artifact_holds(tiny, score, more):
    made = tiny.scores(METHOD_OF.get(score, "cross_entropy"), score, **more)
    detector = bood_tasks.load_detector(made.folder)
    for part in ("pets/test", "near/test"):
        found = detector(pictures(part))
        np.testing.assert_allclose(found.scores, made[f"{part}/score"][:], rtol=1e-4)
        logits = tiny.outputs(METHOD_OF.get(score, "cross_entropy"))[f"{part}/logits"][:]
        assert found.classes.tolist() == [CLASSES[k] for k in logits.argmax(1)]
    assert np.ptp(found.scores) > 0.01 * np.abs(found.scores).max()  # not one number for all


def test_godin_without_a_step_is_its_unperturbed_score(tiny):
    still, moved = (tiny.scores("godin", "godin", magnitudes=[size]) for size in (0.0, 0.1))
    plain = tiny.scores("godin", "godin_unperturbed")
    for part in ("pets/test", "near/test"):
        np.testing.assert_allclose(plain[f"{part}/score"][:], still[f"{part}/score"][:], rtol=1e-4)
    assert moved["pets/test/score"][:].mean() > plain["pets/test/score"][:].mean() + 0.01


@pytest.mark.parametrize("tpr", [0.05, 0.5, 0.95, 20 / 21, 1])
def test_the_threshold_is_the_strictest_that_accepts_the_share(energy, tpr):
    held_out = energy["pets/validation/score"][:].tolist()
    enough = [t for t in held_out if sum(s >= t for s in held_out) / len(held_out) >= tpr]
    assert bood_tasks.load_detector(energy.folder).threshold(tpr) == max(enough)


def test_the_command_writes_what_python_returns(energy, folder, tmp_path):
    out = tmp_path / "out.csv"
    code, _ = bood("score", "--detector", energy.folder, "--tpr", 0.4, "--out", out, folder)
    assert code == 0
    files = sorted(folder.rglob("*.png"))
    detector = bood_tasks.load_detector(energy.folder)
    found = detector(files, tpr=0.4)
    table = rows(out)
    assert [row["path"] for row in table] == [str(file) for file in files]
    np.testing.assert_array_equal(np.float32([row["score"] for row in table]), found.scores)
    assert [row["decision"] for row in table] == found.decisions.tolist()
    assert [row["class"] for row in table] == found.classes.tolist()
    assert {np.float32(row["threshold"]) for row in table} == {np.float32(detector.threshold(0.4))}
    accepted = [np.float32(row["score"]) >= np.float32(row["threshold"]) for row in table]
    assert [row["decision"] == "ID" for row in table] == accepted
    assert len(set(accepted)) == 2


def test_paths_pictures_and_arrays_are_the_same(energy, folder):
    detector = bood_tasks.load_detector(energy.folder)
    files = sorted(folder.rglob("*.png"))
    given = pictures("pets/test")
    by_path, by_picture = detector(files), detector(given)
    np.testing.assert_array_equal(by_path.scores, by_picture.scores)
    size = given[1].size
    alike = [p.convert("RGB") for p in given if p.size == size]
    array = np.stack([np.asarray(picture) for picture in alike])
    np.testing.assert_array_equal(detector(array).scores, detector(alike).scores)


def test_a_detectors_own_folder_takes_its_methods_first_score(tiny):
    for score in ("vos", "energy"):
        tiny.scores("vos", score)
    folder = tiny.detectors["vos"].folder
    assert bood_tasks.load_detector(folder).score == "energy"
    assert bood_tasks.load_detector(folder, score="energy").score == "energy"
    with pytest.raises(ValueError, match=r"has no score msp; there are:\n  energy: .*\n  vos: "):
        bood_tasks.load_detector(folder, score="msp")


def test_two_of_one_score_must_be_told_apart(tmp_path):
    tiny = Tiny(tmp_path)
    made = [tiny.scores("cross_entropy", "knn", neighbours=k) for k in (2, 3)]
    folder = tiny.detectors["cross_entropy"].folder
    with pytest.raises(ValueError, match="has several of knn; name one") as caught:
        bood_tasks.load_detector(folder, score="knn")
    assert all(str(item.folder) in str(caught.value) for item in made)
    assert bood_tasks.load_detector(made[0].folder).score == "knn"
    tiny.scores("cross_entropy", "msp")
    with pytest.raises(ValueError, match="several scores; choose one"):
        bood_tasks.load_detector(folder)


def test_unreadable_pictures_are_named_together_and_the_others_scored(energy, folder, tmp_path):
    for name in ("03.png", "05.png"):
        (folder / "below" / name).write_bytes(b"not a picture")
    out = tmp_path / "out.csv"
    code, said = bood("score", "--detector", energy.folder, "--out", out, folder)
    assert code == 1
    assert "error: 2 pictures are unreadable:" in said
    assert "03.png: " in said
    assert "05.png: " in said
    expected = np.delete(energy["pets/test/score"][:], [3, 5])
    found = [float(row["score"]) for row in rows(out)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    with pytest.raises(ValueError, match=r"2 pictures are unreadable: .*03\.png.*05\.png"):
        bood_tasks.load_detector(energy.folder)(sorted(folder.rglob("*.png")))


def test_odd_names_and_files_end_no_scoring(energy, folder, tmp_path):
    """Names that are not UTF-8, that a spreadsheet would run, what is no file, other kinds."""
    one = folder / "below" / "00.png"
    for name in ("caf\udce9.png", "=1+1.png", "-x.png", "a,b.png", "new\nline.png"):
        shutil.copy(one, tmp_path / "pictures" / name)
    os.mkfifo(folder / "pipe.png")
    (folder / "._00.png").write_bytes(b"of a Mac")
    (folder / "notes.txt").write_text("x")
    (folder / "loop").symlink_to(folder)
    with PIL.Image.open(one) as picture:
        tag = PIL.Image.Exif()
        tag[0x0112] = 3
        picture.save(folder / "turned.png", exif=tag)
    out = tmp_path / "out.csv"
    code, said = bood("score", "--detector", energy.folder, "--out", out, folder)
    assert code == 0
    paths = [row["path"] for row in rows(out)]
    assert f"{folder}/caf\\xe9.png" in paths
    assert len(paths) == len(energy["pets/test/score"][:]) + 6
    assert "1 hidden files and those of tools: '._00.png'" in said
    assert "1 of another kind (.txt)" in said
    assert "1 neither file nor folder" in said
    assert "1 turned upright by EXIF" in said


def test_paths_that_a_spreadsheet_would_run_are_harmless(energy, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder / "below/00.png", "=1+1.png")
    assert bood("score", "--detector", energy.folder, "--out", "out.csv", "=1+1.png")[0] == 0
    assert [row["path"] for row in rows(tmp_path / "out.csv")] == ["./=1+1.png"]


def test_a_table_is_never_written_over_a_picture_or_through_a_link(energy, folder, tmp_path):
    one = folder / "below/00.png"
    before = one.read_bytes()
    (tmp_path / "link.csv").symlink_to(one)
    for option in ("--out", "--html"):
        for path, why in ((one, "which is scored"), (tmp_path / "link.csv", "which is a link")):
            code, said = bood("score", "--detector", energy.folder, option, path, folder)
            assert code == 2
            assert f"{option} must" in said
            assert why in said
    assert one.read_bytes() == before


def test_a_failure_on_the_way_keeps_the_rows_before(energy, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("bood_tasks.deploy.score.ITEMS_AT_ONCE", 5)
    judge = Detector.judge
    calls = []

    def third_fails(*given, **named):
        calls.append(given)
        if len(calls) == 3:
            raise OSError("the disk went away")
        return judge(*given, **named)

    monkeypatch.setattr(Detector, "judge", third_fails)
    out = tmp_path / "out.csv"
    code, said = bood("score", "--detector", energy.folder, "--out", out, folder)
    assert code == 2
    assert "went away" in said
    assert len(rows(out)) == 10


@pytest.fixture(scope="module")
def uncalibrated(energy, tmp_path_factory) -> Artifact:
    """The scores of a row whose ID data set held nothing out."""
    root = tmp_path_factory.mktemp("uncalibrated")
    shutil.copytree(energy.folder.parents[2], root / "artifacts")
    scores = {f"pets/test/{name}": energy[f"pets/test/{name}"][:] for name in ("score", "index")}
    spec = fake_artifacts.identity("scores", energy.settings | {"other": 1})
    spec["inputs"] = energy.spec["inputs"]
    folder = root / "artifacts/scores/made" / tiny_detector.digest_of(spec)
    with tiny_detector.Draft(folder / "manifest.json", spec) as draft:
        for name, values in scores.items():
            draft.save(name, values)
        tiny_detector.write_json(draft.folder / "score.json", {"score": "energy"})
        draft.finish()
    return Artifact(folder / "manifest.json")


def test_without_validation_scores_there_is_no_threshold(uncalibrated, energy, folder, tmp_path):
    """Test scores never set one; the user may."""
    detector = bood_tasks.load_detector(uncalibrated.folder)
    with pytest.raises(NoThreshold, match=r"no threshold.*validation_per_class.*--threshold X"):
        detector.threshold(0.95)
    found = detector(pictures("pets/test"))
    assert set(found.decisions) == {""}
    np.testing.assert_allclose(found.scores, energy["pets/test/score"][:], rtol=1e-4)
    middle = float(np.median(found.scores))
    by_hand = detector(pictures("pets/test"), threshold=middle)
    assert (by_hand.decisions == "ID").tolist() == (found.scores >= middle).tolist()
    out = tmp_path / "out.csv"
    code, said = bood("score", "--detector", uncalibrated.folder, "--out", out, folder)
    assert code == 0
    assert "no threshold" in said
    assert {(row["decision"], row["threshold"]) for row in rows(out)} == {("", "")}
    bood("score", "--detector", uncalibrated.folder, "--out", out, "--threshold", middle, folder)
    assert [row["decision"] for row in rows(out)] == by_hand.decisions.tolist()


REFUSED = {
    "a share in percent": (["--tpr", 95], r"tpr must be in \(0, 1\], got 95.0; write 95 % as 0.95"),
    "no share": (["--tpr", 0], r"tpr must be in \(0, 1\], got 0.0"),
    "an unknown score": (["--score", "enrgy"], "holds the score energy, not enrgy"),
    "another score": (["--score", "msp"], "holds the score energy, not msp"),
    "no folder for the result": (["--out", "none/x.csv"], "--out must lie in a folder"),
}


@pytest.mark.parametrize(("more", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_mistakes_are_refused_with_their_cure(energy, folder, more, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, said = bood("score", "--detector", energy.folder, *more, folder)
    assert code == 2
    assert re.search(message, said)
    assert not (tmp_path / "scores.csv").exists()


def test_no_pictures_are_refused(energy, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("none")
    code, said = bood("score", "--detector", energy.folder, tmp_path / "empty")
    assert code == 2
    assert "empty, which has none" in said
    assert "no such file or folder" in bood("score", "--detector", energy.folder, "absent.png")[1]
    with pytest.raises(ValueError, match="at least one of pictures"):
        bood_tasks.load_detector(energy.folder)([])


def test_what_is_no_detector_is_refused(tiny, energy, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"scores or detector artifact.*no manifest\.json"):
        bood_tasks.load_detector(tmp_path)
    with pytest.raises(ValueError, match="got one of outputs"):
        bood_tasks.load_detector(tiny.outputs("cross_entropy").folder)


def copy(energy, tmp_path) -> Artifact:
    shutil.copytree(energy.folder.parents[2], tmp_path / "artifacts")
    place = energy.folder.relative_to(energy.folder.parents[2])
    return Artifact(tmp_path / "artifacts" / place / "manifest.json")


def test_damage_is_found_before_it_is_loaded(tiny, energy, tmp_path):
    made = copy(energy, tmp_path)
    place = tiny.detectors["cross_entropy"].folder.relative_to(tiny.root)
    weights = tmp_path / place / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 64  # one bit of a weight: the size stays
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.safetensors has other content.*--repair"):
        bood_tasks.load_detector(made.folder)


def test_what_is_missing_upstream_is_named(tiny, energy, tmp_path):
    made = copy(energy, tmp_path)
    place = tiny.detectors["cross_entropy"].folder.relative_to(tiny.root)
    shutil.rmtree(tmp_path / place)
    with pytest.raises(FileNotFoundError, match=rf"detector/\*/{place.name}, which must lie in"):
        bood_tasks.load_detector(made.folder)


def test_a_method_of_ones_own_must_be_the_file_it_was_trained_with(tmp_path):
    (tmp_path / "mine.py").write_text("METHOD = 1")
    settings = {"method": "mine", "content": content_digest(tmp_path / "mine.py")}
    assert own_file("method", settings, tmp_path / "mine.py") == str(tmp_path / "mine.py")
    assert own_file("method", {"method": "vos"}, None) == ""
    with pytest.raises(ValueError, match="method mine is a Python file of your own; name it"):
        own_file("method", settings, None)
    (tmp_path / "mine.py").write_text("METHOD = 2")
    for file in ("mine.py", "absent.py"):
        with pytest.raises(ValueError, match=rf"made with, got .*{file}, which is another"):
            own_file("method", settings, tmp_path / file)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("a.png", TypeError, "must be a list, got one str"),
        (np.zeros((2, 8, 8, 3)), TypeError, r"picture 0 must be .* got float64 \[8, 8, 3\]"),
        (np.zeros((2, 3, 8, 8), np.uint8), TypeError, r"got uint8 \[3, 8, 8\]"),
        ([None], TypeError, "picture 0 must be a PIL picture, a path or uint8"),
    ],
)
def test_other_things_than_pictures_are_refused(energy, given, error, message):
    with pytest.raises(error, match=message):
        bood_tasks.load_detector(energy.folder)(given)


def test_the_package_is_light_and_says_what_it_lacks():
    code = "import sys, bood_tasks; sys.exit('torch' in sys.modules or 'zarr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'load_detectors'"):
        bood_tasks.load_detectors  # noqa: B018
    assert IMAGE["size"] > tiny_detector.CROP  # the tests above crop


def test_pil_is_not_asked_to_close_a_callers_picture(energy, tmp_path):
    pictures("near/test")[1].save(tmp_path / "a.png")
    with PIL.Image.open(tmp_path / "a.png") as picture:
        bood_tasks.load_detector(energy.folder)([picture])
        assert picture.getpixel((0, 0))
