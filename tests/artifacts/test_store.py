"""Artifacts: written whole or not at all, resumed or wiped, damage named."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from bood_tasks.artifacts.manifest import (
    DamagedArtifact,
    payload_files,
    read_facts,
    read_manifest,
    sha256,
)
from bood_tasks.artifacts.spec import digest_of
from bood_tasks.artifacts.store import Artifact, Draft

IDENTITY = {"stage": "toy", "version": 1, "settings": {"k": 1}, "inputs": {}}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return tmp_path / "artifacts" / "toy" / "name" / digest_of(IDENTITY) / "manifest.json"


@pytest.fixture
def whole(manifest: Path) -> Artifact:
    """A finished artifact: one array of three rows and one text file."""
    with Draft(manifest, IDENTITY) as draft:
        draft.save("part/values", np.arange(6, dtype=np.float32).reshape(3, 2))
        (draft.folder / "note.txt").write_text("hello")
        draft.finish(rows={"values": 3}, facts={"images": 7})
    return Artifact(manifest)


def test_manifest_names_every_payload_file_with_size_and_hash(whole):
    content = json.loads(whole.manifest.read_text())
    assert whole.manifest.read_text() == json.dumps(content, indent=1, sort_keys=True) + "\n"
    assert content["spec"] == IDENTITY
    assert content["rows"] == {"values": 3}
    assert content["files"]["note.txt"] == {
        "sha256": hashlib.sha256(b"hello").hexdigest(),
        "size": 5,
    }
    on_disk = {str(path.relative_to(whole.folder)) for path in whole.folder.rglob("*")}
    files = {name for name in on_disk if (whole.folder / name).is_file()}
    assert files == set(content["files"]) | {"manifest.json", ".finished.json", "run.json"}


def test_manifest_of_the_same_payload_has_the_same_bytes(whole):
    before = whole.manifest.read_bytes()
    whole.manifest.unlink()
    with Draft(whole.manifest, IDENTITY) as draft:
        (draft.folder / "note.txt").write_text("hello")
        draft.save("part/values", np.arange(6, dtype=np.float32).reshape(3, 2))
        draft.finish(rows={"values": 3})
    assert whole.manifest.read_bytes() == before


def test_run_facts_stay_out_of_the_manifest(whole):
    facts = json.loads((whole.folder / "run.json").read_text())
    assert facts["images"] == 7
    assert facts["seconds"] >= 0
    assert "seconds" not in whole.manifest.read_text()


def test_artifact_gives_back_what_was_saved(whole):
    assert (whole["part/values"][:] == np.arange(6).reshape(3, 2)).all()
    assert "part/values" in whole
    assert "part/other" not in whole
    assert whole.settings == {"k": 1}
    assert whole.digest == whole.folder.name


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.sampled_from(["uint8", "int64", "float32"]))
def test_array_written_in_parts_reads_back_whole(tmp_path_factory, rows, chunk, dtype):
    folder = tmp_path_factory.mktemp("any") / digest_of(IDENTITY)
    values = np.random.default_rng(rows).integers(0, 200, (rows, 3)).astype(dtype)
    with Draft(folder / "manifest.json", IDENTITY) as draft:
        target = draft.array("x", values.shape, dtype, chunk=chunk)
        for start in range(0, rows, chunk):
            target[start : start + chunk] = values[start : start + chunk]
        draft.finish()
    assert (Artifact(folder / "manifest.json")["x"][:] == values).all()


def test_black_images_are_no_missing_chunks(manifest):
    """zarr leaves out chunks that equal the fill value unless told otherwise."""
    with Draft(manifest, IDENTITY) as draft:
        images = draft.array("images", (4, 2, 2, 3), "uint8", chunk=1, shard=2)
        images[:] = 0
        draft.finish()
    assert not Artifact(manifest)["images"][:].any()


@pytest.mark.parametrize("shard", [None, 2])
def test_unwritten_chunk_is_found_at_finish(manifest, shard):
    with Draft(manifest, IDENTITY) as draft:
        images = draft.array("deep/images", (6, 2), "uint8", chunk=1 if shard else 2, shard=shard)
        images[:2] = 1
        images[4:] = 1
        with pytest.raises(RuntimeError, match=r"1 chunks were never written.*deep/images/c/1/0"):
            draft.finish()
    assert not manifest.exists()


def test_floats_fill_with_nan(manifest):
    with Draft(manifest, IDENTITY) as draft:
        assert np.isnan(draft.array("x", (2,), "float32", chunk=1)[:]).all()


def test_out_folder_must_be_the_digest(tmp_path):
    expected = digest_of(IDENTITY)
    with pytest.raises(ValueError, match=f"--out must lie in a folder named {expected}"):
        Draft(tmp_path / "elsewhere" / "manifest.json", IDENTITY)


def test_killed_job_leaves_no_artifact_and_resumes(manifest):
    """kill -9 with one of two zarr shards written; the next try finds it."""
    code = f"""
import os, signal
from bood_tasks.artifacts.store import Draft
with Draft({str(manifest)!r}, {IDENTITY!r}) as draft:
    draft.array("x", (4,), "int64", chunk=1, shard=2)[:2] = [5, 6]
    draft.keep(draft.folder / "data.zarr/x/c/0")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    answer = subprocess.run([sys.executable, "-c", code])
    assert answer.returncode == -signal.SIGKILL
    assert not manifest.exists()
    with pytest.raises(FileNotFoundError, match=r"holds no manifest\.json"):
        Artifact(manifest)
    with Draft(manifest, IDENTITY) as draft:
        assert draft.resumed
        kept = draft.array("x", (4,), "int64", chunk=1, shard=2)
        assert list(kept[:2]) == [5, 6]
        kept[2:] = [7, 8]
        draft.finish()
    assert list(Artifact(manifest)["x"][:]) == [5, 6, 7, 8]
    assert not (manifest.parent / ".progress").exists()
    assert json.loads((manifest.parent / "run.json").read_text())["resumed"] is True


def test_kill_between_payload_and_manifest_leaves_no_artifact(manifest, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with Draft(manifest, IDENTITY) as draft:
        draft.save("x", np.arange(3))
        (draft.folder / "data.zarr" / "x" / "c.0a1b.partial").write_text("half a chunk")
        monkeypatch.setattr("bood_tasks.artifacts.disk.os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            draft.finish()
    assert not manifest.exists()
    monkeypatch.undo()
    with Draft(manifest, IDENTITY) as draft:
        assert draft.resumed
        draft.save("x", np.arange(3))
        draft.finish()
    assert list(Artifact(manifest)["x"][:]) == [0, 1, 2]
    names = [Path(name).name for name in Artifact(manifest).files]
    assert sorted(names) == ["0", "zarr.json", "zarr.json"]


def test_failed_stage_keeps_its_progress(manifest):
    def fails():
        with Draft(manifest, IDENTITY) as draft:
            (draft.progress / "checkpoint").write_text("step 9")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    with Draft(manifest, IDENTITY) as draft:
        assert (draft.progress / "checkpoint").read_text() == "step 9"


@pytest.mark.parametrize("note", ['{"another":"spec"}', "", None])
def test_payload_of_another_identity_is_wiped(manifest, note):
    folder = manifest.parent
    (folder / ".progress").mkdir(parents=True)
    if note is not None:
        (folder / ".progress" / "spec").write_text(note)
    (folder / "stale.txt").write_text("old")
    with Draft(manifest, IDENTITY) as draft:
        assert not draft.resumed
        assert not (folder / "stale.txt").exists()


def test_finished_artifact_made_again_starts_from_nothing(whole):
    with Draft(whole.manifest, IDENTITY) as draft:
        assert not draft.resumed
        assert not whole.manifest.exists()
        assert payload_files(draft.folder) == []


def test_progress_is_no_payload(manifest):
    with Draft(manifest, IDENTITY) as draft:
        (draft.progress / "checkpoint").write_text("x")
        (draft.folder / "a").write_text("x")
        draft.finish()
    assert set(Artifact(manifest).files) == {"a"}


def test_missing_file_is_named(whole):
    (whole.folder / "note.txt").unlink()
    with pytest.raises(DamagedArtifact, match=r"note\.txt is missing; run `bood verify --repair`"):
        Artifact(whole.manifest)


def test_truncated_file_is_named_with_both_sizes(whole):
    (whole.folder / "note.txt").write_text("hell")
    with pytest.raises(DamagedArtifact, match=r"note\.txt has 4 bytes, should have 5"):
        Artifact(whole.manifest)


def test_flipped_byte_is_found_at_once_but_in_a_large_chunk_by_hashing(manifest):
    """Weights have no checksum of their own; a chunk has, and does not read without it."""
    with Draft(manifest, IDENTITY) as draft:
        (draft.folder / "weights").write_text("hello" * 20_000)
        draft.save("x", np.random.default_rng(0).integers(0, 256, (999, 99)).astype(np.uint8))
        draft.finish()
    chunk = manifest.parent / "data.zarr/x/c/0/0"
    content = bytearray(chunk.read_bytes())
    content[7] ^= 1
    chunk.write_bytes(content)
    again = Artifact(manifest)
    assert again.damaged(rehash=False) == []
    assert again.damaged(rehash=True) == [
        "data.zarr/x/c/0/0 has other content than its manifest says"
    ]
    (manifest.parent / "weights").write_text("hellO" * 20_000)
    with pytest.raises(DamagedArtifact, match="weights has other content"):
        Artifact(manifest)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_flipped_byte_in_a_chunk_does_not_read(manifest, dtype):
    """Each chunk has its own CRC-32C, so damage shows without re-hashing the file."""
    with Draft(manifest, IDENTITY) as draft:
        draft.save("x", np.random.default_rng(0).integers(0, 256, (999, 99)).astype(dtype))
        draft.finish()
    (chunk,) = (p for p in (manifest.parent / "data.zarr/x/c").rglob("*") if p.is_file())
    content = bytearray(chunk.read_bytes())
    content[7] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        Artifact(manifest)["x"][:]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}'])
def test_manifest_that_is_no_manifest_is_damage(whole, content):
    whole.manifest.write_text(content)
    with pytest.raises(DamagedArtifact, match=r"manifest\.json is damaged"):
        Artifact(whole.manifest)


def test_manifest_of_another_format_is_refused(whole):
    content = json.loads(whole.manifest.read_text()) | {"format": 99}
    whole.manifest.write_text(json.dumps(content))
    with pytest.raises(DamagedArtifact, match="has format 99, this code reads 1"):
        read_manifest(whole.manifest)


def test_artifact_is_read_only(whole):
    with pytest.raises(ValueError, match="read-only"):
        whole["part/values"][0] = 1
    assert isinstance(whole["part/values"], zarr.Array)


def test_sha256_is_the_standard_one(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 8, 9, 17])
def test_sharded_arrays_of_any_length_come_back(manifest, rows):
    values = np.arange(rows * 2, dtype=np.uint8).reshape(rows, 2)
    with Draft(manifest, IDENTITY) as draft:
        draft.array("x", values.shape, "uint8", chunk=4, shard=8)[...] = values
        draft.finish()
    artifact = Artifact(manifest)
    assert np.array_equal(artifact["x"][:], values)
    shards = [name for name in artifact.files if "/c/" in name]
    assert len(shards) == -(-rows // 8)


def test_what_was_checked_last_stops_the_manifest(manifest):
    def changed():
        raise ValueError("the source has changed")

    with (
        pytest.raises(ValueError, match="the source has changed"),
        Draft(manifest, IDENTITY, changed) as draft,
    ):
        draft.finish()
    assert not manifest.exists()


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ("", {}), ("[]", {}), ("{", {}), ("null", {}), ("\0" * 9, {}), ("[" * 100_000, {}),
        ('{"seconds": "long", "device": "cpu"}', {"device": "cpu"}),
        ('{"seconds": 1e999, "tflops": -1, "process_seconds": true}', {}),
        ('{"seconds": 1' + "0" * 400 + "}", {}), ('{"seconds": 2}', {"seconds": 2}),
    ],
)  # fmt: skip
def test_run_facts_that_cannot_be_are_left_out(whole, content, left):
    (whole.folder / "run.json").write_text(content)
    assert read_facts(whole.manifest) == left


@pytest.mark.parametrize(
    "change",
    [
        {"rows": []}, {"rows": {"a": "many"}}, {"spec": {}}, {"files": []},
        {"files": {"../x": {"size": 1, "sha256": "0" * 64}}},
        {"files": {"x": {"size": 10**400, "sha256": "0" * 64}}},
        {"files": {"x": {"size": -1, "sha256": "0" * 64}}},
        {"files": {"x": {"size": 1, "sha256": ["0"] * 64}}},
    ],
)  # fmt: skip
def test_manifest_of_impossible_content_is_damage(whole, change):
    whole.manifest.write_text(json.dumps(json.loads(whole.manifest.read_text()) | change))
    with pytest.raises(DamagedArtifact, match=r"manifest\.json is damaged"):
        read_manifest(whole.manifest)


def written(manifest, rows, **arrays):
    with Draft(manifest, IDENTITY) as draft:
        for name, values in arrays.items():
            draft.save(name.replace("__", "/"), values)
        draft.finish(rows=rows)
    return Artifact(manifest)


SCORES = np.zeros(5, np.float32)
PICTURES = np.zeros((2, 4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("name", "values", "rows", "reason"),
    [
        ("digits/test/score", SCORES[:3], {"digits/test": 5}, "must have the 5 rows .* got 3"),
        ("digits/test/score", SCORES.astype(np.int64), {}, "must be float32, got int64"),
        ("digits/test/score", np.stack([SCORES, SCORES], 1), {}, "must be of 1 dimensions"),
        (
            "train/images",
            PICTURES[:, :2],
            {},
            r"must be \[n, size, size, 3\], got shape \[2, 2, 4, 3\]",
        ),
        ("train/images", PICTURES[..., :1], {}, r"must be \[n, size, size, 3\]"),
        ("images", PICTURES.astype(np.float32), {}, "must be uint8, got float32"),
        ("labels", np.zeros(4, np.int64), {"features": 5}, "must have the 5 rows"),
    ],
)
def test_an_array_that_is_not_what_its_name_says_is_refused(manifest, name, values, rows, reason):
    """Though the manifest fits: another version or a mistaken stage may have written it."""
    made = written(manifest, rows, **{name: values})
    with pytest.raises(DamagedArtifact, match=f"{name} {reason}"):
        made[name]
    if "/" in name:
        with pytest.raises(DamagedArtifact, match=f"{name} {reason}"):
            made[name.rpartition("/")[0]]  # all that lies there


def test_an_array_that_is_what_its_name_says_is_read(manifest):
    made = written(
        manifest, {"digits/test": 5}, **{"digits/test/score": SCORES, "images": PICTURES}
    )
    assert made["digits/test/score"].shape == (5,)
    assert made["images"].shape == (2, 4, 4, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_not_written(manifest, bad):
    values = SCORES.copy()
    values[3] = bad
    with pytest.raises(ValueError, match=r"score must be finite, and 1 of 5 rows .* first row 3"):
        written(manifest, {}, score=values)
    assert not manifest.exists()


def test_an_array_that_is_not_there_is_named(manifest):
    made = written(manifest, {}, score=SCORES)
    with pytest.raises(DamagedArtifact, match=r"must hold digits/test/score, and does not"):
        made["digits/test/score"]
