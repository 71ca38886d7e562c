"""What decides whether a job's networks are compiled."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bood_tasks.jobs import compiling
from bood_tasks.jobs.compiling import LEAST_SAVED, LEAST_STEPS, Cost, Pace, choose, priors

RESNET = priors("training", layers=87, in_blocks=30, parameters=21_000_000)
SMALL = priors("inference", layers=150, in_blocks=40, parameters=3_000_000)
SD14 = priors("inference", layers=600, in_blocks=70, parameters=900_000_000)
COSTS = st.dictionaries(
    st.sampled_from(["whole", "blocks", "graphs"]),
    st.builds(Cost, st.floats(0, 1e3), st.floats(0.01, 3)),
)


@pytest.mark.parametrize(
    ("left", "step", "costs", "way"),
    [
        (84, 0.006, SMALL, "plain"),  # a shard of 200 pictures of the shipped generator
        (5000, 0.006, SMALL, "graphs"),  # as long a run of it: no compiler needed
        (1200, 0.012, RESNET, "plain"),  # an embedded preset's detector
        (39_200, 0.012, RESNET, "blocks"),  # ResNet-34 for 200 epochs
        (39_200, 0.12, RESNET, "whole"),  # the same at 224 pixels
        (8000, 0.012, RESNET, "plain"),  # would save 24 s of 96 for 18 to 52 s
        (204, 0.25, SD14, "plain"),  # 256 pictures of Stable Diffusion v1.4
        (79_713, 0.25, SD14, "whole"),  # 100,000
    ],
)
def test_auto_takes_the_way_that_ends_first(left, step, costs, way):
    assert choose("auto", "cuda", left=left, step=step, costs=costs).way == way


def test_the_block_alone_is_compiled_where_the_whole_is_dearer_or_cannot_be():
    work = {"left": 50_000, "step": 0.05}
    assert choose("auto", "cuda", **work, costs=RESNET).way == "whole"
    held_back = priors("training", layers=0, in_blocks=30, parameters=21_000_000)
    assert choose("auto", "cuda", **work, costs=held_back).way == "blocks"
    measured = RESNET | {"whole": Cost(200.0, 0.75, True)}
    assert choose("auto", "cuda", **work, costs=measured).way == "blocks"


@given(st.integers(0, 10**6), st.floats(1e-5, 10), COSTS)
def test_auto_never_loses_by_what_it_knows(left, step, costs):
    way = choose("auto", "cuda", left=left, step=step, costs=costs).way
    plain = left * step
    if way != "plain":
        total = costs[way].seconds + plain * costs[way].share
        assert total <= (1 - LEAST_SAVED) * plain
        assert way == "graphs" or left >= LEAST_STEPS
    elif left >= LEAST_STEPS:
        assert all(
            cost.seconds + plain * cost.share > (1 - LEAST_SAVED) * plain for cost in costs.values()
        )


@given(st.integers(0, 10**6), st.none() | st.floats(1e-5, 10), COSTS)
def test_the_setting_decides_alone_and_other_devices_stay_plain(left, step, costs):
    work = {"left": left, "step": step, "costs": costs}
    assert choose(False, "cuda", **work).way == "plain"
    assert choose("auto", "cpu", **work).way == "plain"
    assert choose("auto", "mps", **work).way == "plain"
    forced = choose(True, "cpu", **work).way
    assert forced == next((way for way in ("whole", "blocks") if way in costs), "plain")


def test_what_takes_no_time_worth_it_is_not_even_timed():
    assert choose("auto", "cuda", left=LEAST_STEPS - 1, step=None, costs=RESNET).way == "plain"
    assert choose("auto", "cuda", left=LEAST_STEPS, step=None, costs=RESNET).way is None
    assert choose("auto", "cuda", left=10**6, step=None, costs={}).way == "plain"


@pytest.fixture
def pace(tmp_path, monkeypatch):
    """Make a Pace as on a GPU that has a compiler."""
    monkeypatch.setenv("BOOD_RUN", json.dumps({"compile": "auto"}))
    monkeypatch.setattr(compiling, "obstacle", lambda: "")

    def make(**costs):
        costs = costs or {"whole": Cost(50, 0.5), "blocks": Cost(10, 0.8)}
        return Pace("detector", "cuda", costs, "network", "H200", folder=tmp_path)

    return make


def test_steps_run_plainly_until_the_second_lap_and_change_once(pace, capsys):
    own = pace()
    assert not own.begin(5000)
    assert own.timing
    assert not own.lap(10, 4.0, left=4990)  # the device's start
    assert own.lap(10, 0.5, left=4980)
    assert own.way == "whole"
    assert not own.lap(10, 44.0, left=4970)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("detector: whole: 4980 steps of 50 ms are left, plain 249.0 s, whole")
    assert "(guessed)" in line


def test_a_long_first_lap_is_enough(pace):
    own = pace()
    own.begin(5000)
    assert own.lap(51, 14.0, left=4949)


def test_what_was_measured_decides_the_next_job_before_its_first_step(pace, tmp_path):
    own = pace()
    own.begin(5000)
    for seconds, left in ((4.0, 4990), (0.5, 4980), (43.0, 4970), (0.3, 4960), (0.3, 4950)):
        own.lap(10, seconds, left=left)
    own.close()
    (path,) = tmp_path.glob("*.json")
    kept = json.loads(path.read_text())
    assert kept["plain"]["step"] == pytest.approx(0.05)
    assert kept["whole"]["step"] == pytest.approx(0.03)
    assert kept["whole"]["seconds"] == pytest.approx(42.7)
    long, short = pace(), pace()
    assert long.begin(10_000)
    known = long.costs["whole"]
    assert (known.seconds, known.share) == (pytest.approx(42.7), pytest.approx(0.6))
    assert known.measured
    assert not short.begin(1000)
    assert short.decided


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"plain": 3}', '{"plain": {"step": 0}, "whole": 1}']
)
def test_a_damaged_record_is_as_good_as_none(pace, text):
    own = pace()
    own.path.write_text(text)
    again = pace()
    assert not again.begin(5000) or text.startswith('{"plain": {"step": 0}')
    assert not again.costs["whole"].measured


def test_a_folder_that_cannot_be_written_costs_the_record_alone(pace, tmp_path, capsys):
    own = pace()
    own.begin(5000)
    own.lap(51, 14.0, left=4949)
    own.path = tmp_path / "file" / "x.json"
    own.path.parent.write_text("no folder")
    own.close()
    assert "cannot be kept" in capsys.readouterr().err


def test_without_a_compiler_only_graphs_are_left_and_the_log_says_so(pace, monkeypatch, capsys):
    monkeypatch.setattr(compiling, "obstacle", lambda: "the package triton is missing")
    own = pace(whole=Cost(50, 0.5), graphs=Cost(2, 0.5))
    assert set(own.costs) == {"graphs"}
    assert "nothing can be compiled: the package triton is missing" in capsys.readouterr().err


def test_the_obstacle_is_a_missing_compiler(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    assert "no C compiler" in compiling.obstacle()
    monkeypatch.setenv("CC", "cc")
    assert compiling.obstacle() == ""


def test_on_the_cpu_nothing_is_timed_said_or_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BOOD_RUN", json.dumps({"compile": "auto"}))
    own = Pace("detector", "cpu", RESNET, "network", folder=tmp_path)
    assert not own.begin(10**6)
    assert not own.timing
    assert not own.lap(10, 9.0, left=10**6)
    own.close()
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""
