import json
import os

import pytest

from bood_tasks import EMBEDDED
from bood_tasks.artifacts import outside as sources
from bood_tasks.artifacts.outside import content_digest, locate, require_whole_weights


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_embedded_paths_are_package_data():
    assert locate("embedded:clipart.npz", "datasets.x.file").is_file()
    with pytest.raises(
        FileNotFoundError, match=r"datasets\.x\.file must name .*shipped are: .*clip"
    ):
        locate("embedded:clipart.npy", "datasets.x.file")


def test_missing_path_names_setting_and_value():
    with pytest.raises(FileNotFoundError, match=r"generator\.path must name .*got 'nowhere'"):
        locate("nowhere", "generator.path")


def test_digest_of_a_folder_covers_names_and_content(tmp_path):
    folder = tmp_path / "d"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "x").write_text("1")
    first = content_digest(folder, None)
    (folder / "a" / "x").rename(folder / "a" / "y")
    second = content_digest(folder, None)
    (folder / "a" / "y").write_text("2")
    assert len({first, second, content_digest(folder, None)}) == 3


def test_digest_does_not_depend_on_the_place_or_the_time(tmp_path):
    for name in ("d", "e"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("1")
    os.utime(tmp_path / "e" / "x", (1, 1))
    assert content_digest(tmp_path / "d", None) == content_digest(tmp_path / "e", None)


def test_known_files_are_not_read_again(tmp_path, monkeypatch):
    file = tmp_path / "x"
    file.write_text("1")
    first = content_digest(file)
    monkeypatch.setattr(sources.hashlib, "file_digest", None)  # would fail if called
    assert content_digest(file) == first


def test_damaged_cache_is_ignored(tmp_path):
    file = tmp_path / "x"
    file.write_text("1")
    first = content_digest(file)
    (tmp_path / "artifacts" / ".digests.json").write_text("{")
    assert content_digest(file) == first
    assert json.loads((tmp_path / "artifacts" / ".digests.json").read_text())


@pytest.mark.parametrize("cut", [0, 4, 8, 200, -1])
def test_weights_cut_anywhere_are_named(tmp_path, cut):
    whole = next((EMBEDDED / "generator" / "vae").glob("*.safetensors")).read_bytes()
    (tmp_path / "vae").mkdir()
    file = tmp_path / "vae" / "model.safetensors"
    file.write_bytes(whole)
    require_whole_weights(tmp_path, "generator.path")
    file.write_bytes(whole[:cut])
    with pytest.raises(ValueError, match=r"generator\.path must hold whole weights, and .*model"):
        require_whole_weights(tmp_path, "generator.path")


def test_bytes_behind_the_weights_are_refused(tmp_path):
    whole = next((EMBEDDED / "generator" / "vae").glob("*.safetensors")).read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole + b"x")
    with pytest.raises(ValueError, match="damaged or incomplete"):
        require_whole_weights(tmp_path, "generator.path")
