"""Scores in OpenOOD's and pytorch-ood's layouts: out as theirs, in as a row of figures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bood_tasks.artifacts.spec import digest_of
from bood_tasks.artifacts.store import Artifact, Draft
from bood_tasks.cli.main import main
from bood_tasks.deploy.exchange import (
    export_scores,
    judged,
    outputs_of,
    read_scores,
    table_lines,
)
from bood_tasks.scoring.roc import compare
from tests import fake_artifacts

RNG = np.random.default_rng(0)
SETS = {"cats/test": 30, "cats/validation": 10, "dogs/test": 20, "cars/test": 25}


def scored(root: Path) -> Artifact:
    """Outputs of a detector and one score of them, in one store."""
    arrays, scores = {}, {}
    for part, count in SETS.items():
        arrays[f"{part}/logits"] = RNG.normal(0, 1, (count, 3)).astype(np.float32)
        if part.startswith("cats"):
            arrays[f"{part}/labels"] = RNG.integers(0, 3, count)
        scores[f"{part}/score"] = RNG.normal(part.startswith("cats"), 1, count).astype(np.float32)
    outputs = fake_artifacts.make(root, "outputs", arrays=arrays, rows=SETS)
    spec = fake_artifacts.identity(
        "scores", {"score": "energy", "id": "cats"}, {"outputs": outputs}
    )  # fmt: skip
    manifest = root / "artifacts/scores/fake" / digest_of(spec) / "manifest.json"
    with Draft(manifest, spec) as draft:
        for name, values in scores.items():
            draft.save(name, values)
        draft.finish(rows=SETS)
    return Artifact(manifest)


def test_scores_go_out_as_openoods_evaluator_saves_them(tmp_path):
    scores = scored(tmp_path)
    assert export_scores(scores, tmp_path / "out", "openood") == {
        "cars": 25,
        "cats": 30,
        "dogs": 20,
    }
    logits = outputs_of(scores)
    for name in ("cats", "dogs", "cars"):
        with np.load(tmp_path / f"out/{name}.npz") as file:
            assert set(file.files) == {"pred", "conf", "label"}
            assert np.array_equal(file["conf"], scores[f"{name}/test/score"][:])
            assert np.array_equal(file["pred"], logits[f"{name}/test/logits"][:].argmax(1))
            wanted = logits["cats/test/labels"][:] if name == "cats" else -1
            assert np.array_equal(file["label"], np.broadcast_to(wanted, len(file["conf"])))


@pytest.mark.parametrize("convention", ["openood", "pytorch-ood"])
def test_what_went_out_comes_in_with_the_same_figures(tmp_path, convention):
    scores = scored(tmp_path)
    export_scores(scores, tmp_path / "out", convention)
    rows = list(judged(read_scores(tmp_path / "out"), "ours"))
    sides = {name: scores[f"{name}/test/score"][:] for name in ("cats", "dogs", "cars")}
    for name in ("dogs", "cars"):
        wanted = compare(sides["cats"], sides[name], threshold="first", rule="trapezoid")
        found = [
            (row["metric"], row["convention"], row["value"])
            for row in rows
            if row["ood_dataset"] == name
        ]
        assert found == wanted
    (accuracy,) = [row["value"] for row in rows if row["metric"] == "id_acc"] or [None]
    outputs = outputs_of(scores)
    right = outputs["cats/test/logits"][:].argmax(1) == outputs["cats/test/labels"][:]
    assert accuracy == (right.mean() if convention == "openood" else None)
    assert {row["n_id"] for row in rows} == {30}


def test_the_sign_of_pytorch_ood_is_turned(tmp_path):
    scores = scored(tmp_path)
    export_scores(scores, tmp_path, "pytorch-ood")
    with np.load(tmp_path / "dogs.npz") as file:
        assert set(file.files) == {"scores", "y"}
        assert np.array_equal(file["scores"], -scores["dogs/test/score"][:])
        assert (file["y"] < 0).all()


def write(folder: Path, **files) -> Path:
    folder.mkdir(exist_ok=True)
    for name, arrays in files.items():
        np.savez(folder / f"{name}.npz", **arrays)
    return folder


def test_one_file_may_hold_both_sides(tmp_path):
    write(tmp_path, mixed={"scores": [0.1, 0.2, 0.9], "y": [0, 3, -1]})
    rows = list(judged(read_scores(tmp_path), "x"))
    auroc = {row["metric"]: row["value"] for row in rows if row["convention"] == ""}["auroc"]
    assert (auroc, rows[0]["n_id"], rows[0]["n_ood"]) == (1.0, 2, 1)


GOOD = {"conf": [1.0, 2.0], "label": [0, 1], "pred": [0, 1]}
OOD = {"conf": [0.0, 0.5], "label": [-1, -1], "pred": [0, 0]}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a": {"x": [1]}}, "must hold conf and label or scores and y, got x"),
        ({"a": GOOD | {"label": [0]}}, "label must hold one whole number a sample"),
        ({"a": GOOD | {"label": [0.5, 1]}}, "label must hold one whole number"),
        ({"a": GOOD | {"conf": [np.nan, 1]}}, "conf must be finite, got 1 of 2 not"),
        ({"a": GOOD | {"conf": ["x", "y"]}}, "conf must hold one number a sample"),
        ({"a": GOOD | {"conf": np.array([{}, {}], object)}}, "must be an .npz file of scores"),
        ({"a": GOOD, "b": GOOD}, "--id must say which file"),
        ({"a": OOD, "b": OOD}, "one file must hold the ID data set"),
    ],
)
def test_files_that_cannot_be_judged_are_named(tmp_path, files, said):
    write(tmp_path, **files)
    with pytest.raises(ValueError, match=said):
        list(judged(read_scores(tmp_path), "x"))


def test_a_folder_without_scores_is_named_and_pickles_are_not_read(tmp_path):
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores/msp.pkl").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match=r"one \.npz file a data set.*pickles"):
        read_scores(tmp_path)


def test_averages_and_our_rows_stand_beside_with_a_mark_where_the_samples_are_others():
    given = {"cats": GOOD, "dogs": OOD, "cars": OOD | {"conf": [1.5, 1.5]}}
    rows = list(judged({name: _given(x) for name, x in given.items()}, "x"))
    ours = [
        {"method": "ce", "variant": "", "score": "msp", "metric": "auroc", "split": "test",
         "ood_dataset": name, "mean": 0.5, "n_id": 2, "n_ood": n}
        for name, n in (("dogs", 2), ("cars", 7), ("birds", 2))
    ]  # fmt: skip
    lines = table_lines(rows, {"near": ["cars"]}, ours)
    of = {line[0]: line for line in lines[1:]}
    assert (of["dogs"][2], of["cars"][2]) == ("100.00", "50.00")
    assert (of["average"][2], of["average of near"][2]) == ("75.00", "50.00")
    assert (of["dogs"][-1], of["cars"][-1]) == ("50.00", "50.00 !")
    with pytest.raises(ValueError, match="--near must name files of scores, got 'frogs'"):
        table_lines(rows, {"near": ["frogs"]})


def _given(arrays):
    from bood_tasks.deploy.exchange import Given

    return Given(np.array(arrays["conf"]), np.array(arrays["label"]), np.array(arrays["pred"]))


def test_the_commands_write_and_judge(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "scores", cats=GOOD, dogs=OOD)
    main(["judge-scores", ".", "--name", "Theirs", "--near", "dogs", "--out", "theirs.csv"])
    said = capsys.readouterr()
    assert "Theirs: ID cats, n = 2, ID accuracy 100.00" in said.out
    assert "average of near" in said.out
    found = pd.read_csv("theirs.csv", keep_default_na=False)
    assert found[found.metric == "auroc"].value.tolist() == [1.0]
    assert set(found.method) == {"Theirs"}
