"""An automatic choice through the real workflow: rung after rung in one run, nothing done twice."""

import json

import pytest
import yaml

pytestmark = pytest.mark.long
CHOICE = {
    "row": "noise",
    "settings": {"detector.ood_weight": [0.5]},
    "validation": ["corrupted"],
    "rungs": 2,
    "eta": 2,
}


def test_one_run_makes_all_rungs_and_the_next_one_none(fresh):
    without = fresh.snakemake("--dry-run", "choice")
    assert without.returncode != 0
    assert "this configuration has no choice: write a `choice` section" in (
        without.stdout + without.stderr
    )
    overlay = {"choice": CHOICE}
    done = fresh.snakemake("choice", overlay=overlay)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the next rung of the choice: " in done.stderr
    folder = fresh.path / "results/choice"
    told = json.loads((folder / "choice.json").read_text())
    assert [len(rung["candidates"]) for rung in told["rungs"]] == [2, 2]
    assert [rung["share"] for rung in told["rungs"]] == [0.5, 1]
    assert fresh.planned("choice", overlay=overlay) == {}
    # the tables of the run that was finished before are still there, and nothing of theirs is left
    assert fresh.planned(overlay=overlay) == {}
    # the chosen row lies over the configuration that it was chosen in
    chosen = yaml.safe_load((folder / "chosen.yaml").read_text())
    planned = fresh.planned("metrics", overlay=overlay | chosen)
    assert planned["detector"] == 0  # the last rung has trained it
    assert planned["outputs"] == (told["chosen"] != "")  # of the row as it is they are there
