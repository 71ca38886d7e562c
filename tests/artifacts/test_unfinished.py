"""Unfinished work that a power cut or a worn disk has changed: made again, said, never believed."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bood_tasks.artifacts import disk
from bood_tasks.artifacts.spec import digest_of
from bood_tasks.artifacts.store import Artifact, Draft
from bood_tasks.synthesis.shards import write_blocks
from bood_tasks.training.checkpoint import load_checkpoint, save_checkpoint

IDENTITY = {"stage": "toy", "version": 1, "settings": {"k": 1}, "inputs": {}}
ROWS, BLOCK = 11, 4
DAMAGE = {
    "emptied": lambda content, place: b"",
    "halved": lambda content, place: content[: len(content) // 2],
    "zeros": lambda content, place: bytes(len(content)),
    "a zero tail": lambda content, place: content[:place] + bytes(len(content) - place),
    "a flipped bit": lambda content, place: (
        content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :]
    ),
    "removed": None,
}


def harm(path, kind, place):
    """Damage a file; return whether its content changed."""
    before = path.read_bytes()
    if DAMAGE[kind] is None:
        path.unlink()
        return True
    path.write_bytes(DAMAGE[kind](before, place % max(1, len(before))) if before else b"")
    return path.read_bytes() != before


def fill(draft, stop=ROWS, asked=None):
    """A stage as images, gan_images, texts and outlier_filter are: blocks, then the rest."""
    array = draft.array("x", (ROWS, 3), "uint8", chunk=1, shard=BLOCK)

    def parts(first, last):
        for row in range(first, last):
            if row >= stop:
                raise InterruptedError
            if asked is not None:
                asked.append(row)
            yield torch.full((1, 3), 7 * row, dtype=torch.uint8)

    write_blocks(draft, array, parts, block=BLOCK, stage="toy", unit="rows")
    draft.save("labels", np.zeros(ROWS, np.int64))
    draft.finish(rows={"x": ROWS})


def interrupted(folder, stop=10):
    with pytest.raises(InterruptedError), Draft(folder / "manifest.json", IDENTITY) as draft:
        fill(draft, stop)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """An unfinished artifact with two of three blocks, and the finished one's manifest."""
    top = tmp_path_factory.mktemp("blocks")
    half, whole = (top / name / digest_of(IDENTITY) for name in ("half", "whole"))
    interrupted(half)
    with Draft(whole / "manifest.json", IDENTITY) as draft:
        fill(draft)
    return half, (whole / "manifest.json").read_bytes()


def files_of(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_blocks_and_notes_are_made_again_to_the_same_bytes(started, tmp_path, data):
    half, whole = started
    folder = tmp_path / half.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(half, folder)
    for name in data.draw(st.lists(st.sampled_from(files_of(half)), min_size=1, unique=True)):
        harm(folder / name, data.draw(st.sampled_from(sorted(DAMAGE))), data.draw(st.integers(0)))
    with Draft(folder / "manifest.json", IDENTITY) as draft:
        fill(draft)
    assert (folder / "manifest.json").read_bytes() == whole


@pytest.mark.parametrize("kind", sorted(DAMAGE))
def test_of_whole_work_the_damaged_block_alone_is_made_again_and_said(
    started, tmp_path, capsys, kind
):
    folder = tmp_path / started[0].name
    shutil.copytree(started[0], folder)
    assert harm(folder / "data.zarr/x/c/0/0", kind, 9)
    asked = []
    with Draft(folder / "manifest.json", IDENTITY) as draft:
        assert [*draft.kept] == ["data.zarr/x/c/1/0"]
        fill(draft, asked=asked)
    assert asked == [0, 1, 2, 3, 8, 9, 10]
    assert "1 files of an earlier try are damaged and made again, data.zarr/x/c/0/0" in (
        capsys.readouterr().err
    )


def test_an_array_that_equals_its_fill_value_is_resumed(tmp_path):
    """Killed between an array's creation and its only chunk (labels of a flat OOD set are 0)."""
    folder = tmp_path / digest_of(IDENTITY)
    with Draft(folder / "manifest.json", IDENTITY) as draft:
        draft.array("flags", (ROWS,), "uint8", chunk=ROWS)
    with Draft(folder / "manifest.json", IDENTITY) as draft:
        assert draft.resumed
        draft.save("flags", np.zeros(ROWS, np.uint8))
        draft.finish()
    assert not Artifact(folder / "manifest.json")["flags"][:].any()


def test_integers_fill_with_what_is_no_label(tmp_path):
    with Draft(tmp_path / digest_of(IDENTITY) / "manifest.json", IDENTITY) as draft:
        assert draft.array("labels", (2,), "int64", chunk=1)[0] == np.iinfo(np.int64).min


def test_a_list_cut_in_its_last_line_takes_further_lines(started, tmp_path):
    folder = tmp_path / started[0].name
    shutil.copytree(started[0], folder)
    kept = folder / ".progress/kept"
    kept.write_bytes(kept.read_bytes()[:-5])
    with Draft(folder / "manifest.json", IDENTITY) as draft:
        assert len(draft.kept) == 1
        draft.note("n", {"a": 1})
    with Draft(folder / "manifest.json", IDENTITY) as draft:
        assert draft.noted("n") == {"a": 1}
        assert len(draft.kept) == 2


def test_a_note_is_old_or_new_wherever_its_writing_ends(tmp_path, monkeypatch):
    manifest = tmp_path / digest_of(IDENTITY) / "manifest.json"
    with Draft(manifest, IDENTITY) as draft:
        draft.note("n", 1)

        def killed(*_):
            raise InterruptedError

        for step in ("sync", "replace"):
            monkeypatch.setattr(disk, step, killed)
            with pytest.raises(InterruptedError):
                draft.note("n", 2)
            monkeypatch.undo()
            with Draft(manifest, IDENTITY) as again:
                assert again.noted("n") == 1


def test_finished_work_that_is_to_be_made_again_starts_from_nothing(started, tmp_path):
    """Killed after the copy of the manifest; a leftover .progress is no start."""
    folder = tmp_path / started[0].name
    shutil.copytree(started[0], folder)
    (folder / ".finished.json").write_text("{}")
    with Draft(folder / "manifest.json", IDENTITY) as draft:
        assert not draft.resumed
        assert not draft.kept


def test_nothing_is_vouched_for_that_is_not_on_the_disk(tmp_path, monkeypatch):
    """The order of calls: file, then its folders, then the line, then the manifest."""
    calls = []
    real = disk.os.fsync

    def fsync(descriptor):
        calls.append(disk.os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(disk.os, "fsync", fsync)
    folder = tmp_path / digest_of(IDENTITY)
    with Draft(folder / "manifest.json", IDENTITY) as draft:
        (folder / "a").mkdir()
        (folder / "a/block").write_text("x")
        calls.clear()
        draft.keep(folder / "a/block")
        names = [call.removeprefix(str(folder)).strip("/") for call in calls]
        assert names == ["a/block", "a", "", ".progress/kept"]
        calls.clear()
        (folder / "b").write_text("y")
        draft.finish()
    names = [call.removeprefix(str(folder)).strip("/") for call in calls]
    assert names.index("b") < names.index("") < names.index(".finished.json.tmp")
    assert names[-2:] == ["manifest.json.tmp", ""]


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    adam = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    adam.step()
    return model, adam


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(sorted(DAMAGE)), st.integers(0, 10**6))
def test_a_damaged_checkpoint_is_no_start_and_changes_nothing(network, tmp_path, kind, place):
    model, adam = network
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, model.state_dict(), [adam], 7, [{"loss": 1.5}])
    assert load_checkpoint(path, model.state_dict(), [adam]) == (7, [{"loss": 1.5}])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    if harm(path, kind, place):
        found = load_checkpoint(path, model.state_dict(), [adam])
        assert found == (0, [])
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_checkpoint_without_what_it_needs_is_no_start(network, tmp_path, capsys):
    model, adam = network
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, model.state_dict(), [adam], 7, [])
    found = load_checkpoint(
        path, model.state_dict(), [adam], lacks=lambda step: f"epoch {step} is not there"
    )
    assert found == (0, [])
    assert "epoch 7 is not there" in capsys.readouterr().err
