"""`bood monitor`: how often it raises a false alarm, what it sees, and its exit codes."""

import json
import sys

import numpy as np
import PIL.Image
import pytest
from scipy import stats

from bood_tasks.cli.main import main
from bood_tasks.deploy.detector import Detector, NoThreshold
from bood_tasks.deploy.inputs import PictureInput
from bood_tasks.deploy.monitor import drift, more_below, told
from bood_tasks.scoring.intervals import share_interval


def detector(reference) -> Detector:
    """One whose score is a picture's mean, from 0 to 255."""

    def run(batch):
        return batch.mean((1, 2, 3)), np.zeros((len(batch), 2))

    given = None if reference is None else np.asarray(reference, np.float32)
    split = "" if reference is None else "mine/validation"
    return Detector("energy", ["a", "b"], PictureInput(4, "pad"), run, split, given)


def test_the_chance_of_as_many_below_is_scipy_s():
    for below, count, accepted, calibrated in ((0, 5, 19, 20), (7, 60, 190, 200), (60, 60, 1, 30)):
        wanted = stats.betabinom.sf(below - 1, count, calibrated + 1 - accepted, accepted)
        assert more_below(below, count, accepted, calibrated) == pytest.approx(wanted, rel=1e-9)


def test_a_stream_without_drift_is_seldom_said_to_have_drifted():
    """Whatever the distribution of the scores."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(600):
        made = rng.exponential(size=300)
        found = drift(detector(made[:200]), np.float32(made[200:]), tpr=0.95, alpha=0.05)
        alarms += found.drifted
    assert alarms / 600 < 0.07


def test_drift_to_either_side_is_seen():
    rng = np.random.default_rng(1)
    known = detector(rng.normal(size=400))
    for shift in (-1.0, 1.0):  # below: more OOD; above: the share alone sees nothing
        found = drift(known, np.float32(rng.normal(shift, size=200)), tpr=0.95)
        assert found.drifted
        assert (found.p_share < 0.005) == (shift < 0)
    few = drift(known, np.float32([-9.0] * 20 + [0.0] * 180), tpr=0.95)  # a tenth from elsewhere
    assert few.p_share < 0.05
    assert few.low < few.share == 0.1 < few.high


def test_without_scipy_the_share_alone_is_tested_and_that_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    known = detector(np.arange(100))
    found = drift(known, np.float32([-1] * 50), tpr=0.95)
    assert found.p_scores is None
    assert found.drifted
    assert any("scipy is not installed" in line for line in told(found, known))


def test_wilson_s_interval_is_scipy_s():
    for found, count in ((0, 10), (3, 40), (40, 40)):
        wanted = stats.binomtest(found, count).proportion_ci(0.95, "wilson")
        assert share_interval(found, count) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_nothing_to_compare_with_and_bad_levels_are_refused():
    with pytest.raises(NoThreshold, match="no threshold"):
        drift(detector(None), np.float32([1.0]), tpr=0.95)
    for alpha in (0.0, 1.0, 5.0):
        with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\)"):
            drift(detector([1.0]), np.float32([1.0]), tpr=0.95, alpha=alpha)
    with pytest.raises(ValueError, match="got nothing"):
        drift(detector([1.0]), np.float32([]), tpr=0.95)


@pytest.mark.parametrize(
    ("greys", "more", "code"),
    [
        (range(100, 200), (), 0),
        (range(100, 200), ("broken.png",), 1),
        (range(0, 60), ("broken.png",), 3),
        ((), ("absent.png",), 2),
    ],
)
def test_exit_codes(tmp_path, monkeypatch, capsys, greys, more, code):
    known = detector(np.linspace(95, 205, 150))
    monkeypatch.setattr("bood_tasks.cli.commands.monitor.load_bundle", lambda path: known)
    for grey in greys:
        PIL.Image.new("RGB", (4, 4), (grey,) * 3).save(tmp_path / f"{grey}.png")
    if "broken.png" in more:
        (tmp_path / "broken.png").write_bytes(b"no picture")
    given = [str(tmp_path / "absent.png")] if "absent.png" in more else [str(tmp_path)]
    out = tmp_path / "drift.json"
    with pytest.raises(SystemExit) as caught:
        main(["monitor", "--bundle", "x", "--out", str(out), *given])
    assert caught.value.code == code
    said = capsys.readouterr()
    if code != 2:
        facts = json.loads(out.read_text())
        assert facts["drifted"] == (code == 3)
        assert facts["count"] == len(greys)
        assert facts["unreadable"] == len(more)
        assert "are OOD" in said.out
    assert ("unreadable" in said.err) == ("broken.png" in more)


def test_a_user_s_threshold_is_taken(tmp_path):
    known = detector(np.arange(100))
    found = drift(known, np.float32([10, 60]), tpr=0.95, threshold=50)
    assert (found.threshold, found.share, found.expected) == (50, 0.5, 0.5)
