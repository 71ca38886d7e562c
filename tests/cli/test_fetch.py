"""`bood fetch`: the generator from a hub (a real one, on this machine), data sets named by hand."""

import hashlib
import http.server
import json
import os
import shutil
import threading
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.corpora import PUBLISHED
from bood_tasks.catalogue.datasets import CATALOGUE
from bood_tasks.catalogue.weights import WEIGHTS, Released
from bood_tasks.cli.fetch import fetch
from bood_tasks.config.fields import merged
from bood_tasks.config.load import load
from bood_tasks.plan import generators

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "bood_tasks/embedded/generator"
COMMIT = "a" * 40


class Hub(http.server.BaseHTTPRequestHandler):
    """The addresses of the hub's protocol that a snapshot needs, over the shipped pipeline, or over
    the `folder` of another."""

    asked: ClassVar[list[str]] = []
    folder: ClassVar[Path] = MODEL
    withheld: ClassVar[str] = ""  # the end of a path that is refused

    def log_message(self, *_):
        pass

    def answer(self, content: bytes, **headers: str) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def do_GET(self):
        self.asked.append(self.path)
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        if self.path.startswith("/api/models/some/model/"):
            sizes = {x.relative_to(self.folder).as_posix(): x.stat().st_size for x in files}
            sizes["unet/pickled.bin"] = 9
            if "/tree/" in self.path:
                facts = [
                    {"type": "file", "path": name, "size": size, "oid": "0" * 40}
                    for name, size in sizes.items()
                ]
            else:
                siblings = [{"rfilename": name} for name in sizes]
                facts = {"id": "some/model", "sha": COMMIT, "siblings": siblings}
            self.answer(json.dumps(facts).encode(), Content_Type="application/json")
            return
        path = self.folder / self.path.partition(f"/resolve/{COMMIT}/")[2]
        if path not in files or (self.withheld and self.path.endswith(self.withheld)):
            self.send_error(404)
            return
        content = path.read_bytes()
        etag = hashlib.sha256(content).hexdigest()
        self.answer(content, ETag=f'"{etag}"', X_Repo_Commit=COMMIT)

    do_HEAD = do_GET


@pytest.fixture
def hub(_home, monkeypatch, tmp_path):
    Hub.asked, Hub.folder, Hub.withheld = [], MODEL, ""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield Hub
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    """A folder of its own; `prepare` sets variables that other tests must not see."""
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def config(**overlay):
    return load(merged(yaml.safe_load((ROOT / "config.yaml").read_text()), overlay))


def from_hub(repo="some/model"):
    return config(generator={"source": "hub", "repo": repo, "revision": COMMIT})


def test_what_ships_needs_no_fetching(tmp_path):
    assert fetch(config()) == []
    assert not list(tmp_path.glob("artifacts/*/*/*"))


def test_the_generator_of_a_pinned_commit_is_fetched_once(hub):
    assert fetch(from_hub()) == []
    made = Artifact(generators.generator(from_hub()).manifest)
    for path in MODEL.rglob("*.safetensors"):
        assert (
            made.folder / "pipeline" / path.relative_to(MODEL)
        ).read_bytes() == path.read_bytes()
    assert not any("pickled.bin" in path for path in hub.asked)
    assert any(COMMIT in path for path in hub.asked)
    hub.asked.clear()
    assert fetch(from_hub()) == []
    assert hub.asked == []


@pytest.mark.long
def test_what_came_before_a_failure_is_not_fetched_again(hub, capfd):
    hub.withheld = "unet/diffusion_pytorch_model.safetensors"
    with pytest.raises(ValueError, match="could not be fetched"):
        fetch(from_hub())
    before = {path for path in hub.asked if "/resolve/" in path}
    assert any("text_encoder/" in path for path in before)
    hub.withheld = ""
    hub.asked.clear()
    assert fetch(from_hub()) == []
    again = {path for path in hub.asked if "/resolve/" in path} & before
    assert {path.rpartition("/")[2] for path in again} == {"diffusion_pytorch_model.safetensors"}
    made = Artifact(generators.generator(from_hub()).manifest)
    assert not any("hub" in name or "cache" in name for name in made.files)


@pytest.mark.long
def test_a_pipeline_that_is_not_read_is_refused_before_its_weights_come(hub, tmp_path, capfd):
    hub.folder = shutil.copytree(MODEL, tmp_path / "flux")
    (hub.folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(ValueError, match="could not be fetched"):
        fetch(from_hub())
    assert "a FluxPipeline: its prompts are states of a T5 encoder" in capfd.readouterr().err
    assert not any("safetensors" in path for path in hub.asked)


@pytest.mark.long
def test_a_lora_of_the_hub_is_fetched_and_fused(hub):
    made = config(
        generator={
            "source": "hub", "repo": "some/model", "revision": COMMIT,
            "lora": {"repo": "some/model", "revision": COMMIT, "file": "lora.safetensors"},
        }
    )  # fmt: skip
    hub.folder = shutil.copytree(MODEL, Path("model"))
    weights = load_file(next((MODEL / "unet").glob("*.safetensors")))
    name = next(name for name, w in weights.items() if name.endswith(".weight") and w.ndim == 2)
    out, width = weights[name].shape
    state = {"lora_A": np.ones((1, width), "f4"), "lora_B": np.full((out, 1), 0.5, "f4")}
    state = {f"unet.{name[:-7]}.{end}.weight": value for end, value in state.items()}
    save_file(state, hub.folder / "lora.safetensors")
    assert fetch(made) == []
    pipeline = Artifact(generators.generator(made).manifest).folder / "pipeline"
    fused = load_file(next((pipeline / "unet").glob("*.safetensors")))[name]
    np.testing.assert_allclose(fused - weights[name].astype("f4"), 0.5, atol=2e-3)


@pytest.mark.long
def test_a_commit_that_cannot_be_had_is_named(hub, capfd):
    with pytest.raises(ValueError, match="could not be fetched"):
        fetch(from_hub("other/model"))
    assert f"other/model {COMMIT}" in capfd.readouterr().err


def test_data_that_must_come_by_hand_is_named_with_its_layout():
    kind = next(name for name, entry in CATALOGUE.items() if not entry.downloadable)
    (message,) = fetch(config(test=["near", "outside"], datasets={"outside": {"kind": kind}}))
    assert "outside" in message
    assert kind in message


NEWSGROUPS = {"id": "newsgroups20", "test": ["reuters52"], "rows": {"ce": {"method": "ce"}}}
NEWSGROUPS |= {"datasets": {kind: {"kind": kind} for kind in ("newsgroups20", "reuters52")}}
NEWSGROUPS |= {"detector": {"network": "gru"}, "ablations": None}


def test_corpora_are_fetched_and_one_that_fails_keeps_no_other_from_it(monkeypatch, capsys):
    def download(kind, folder):
        if kind == "reuters52":
            raise OSError("no route to host")
        for name in PUBLISHED[kind].files.values():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("a b\n")

    monkeypatch.setattr("bood_tasks.datasets.download.download", download)
    (message,) = fetch(load(NEWSGROUPS))
    assert message.startswith("datasets.reuters52 (Reuters-52) must lie in data/reuters52")
    assert "could not fetch Reuters-52: no route to host" in capsys.readouterr().err
    assert PUBLISHED["newsgroups20"].holds(Path("data/newsgroups20"))


def test_released_weights_are_fetched_checked_and_missed_by_their_address(
    tmp_path, monkeypatch, capsys
):
    """The file comes from a place on this disk."""
    content = b"whole weights"
    (tmp_path / "source").write_bytes(content)
    address = (tmp_path / "source").as_uri()
    wanted = config(
        detector={"pretrained": "released:wrn40_2_cifar10", "network": "wideresnet", "depth": 40},
        only={"rows": ["ce"], "variants": [], "sweeps": []},
    )

    def published(checksum):
        entry = Released("a title", "a page", {"w.pt": (address, checksum)})
        monkeypatch.setitem(WEIGHTS, "wrn40_2_cifar10", entry)

    published("0" * 64)
    (message,) = fetch(wanted)
    for part in ("detector.pretrained (a title)", address, "0" * 64, "bood fetch"):
        assert part in message
    assert "must have the SHA-256" in capsys.readouterr().err
    folder = tmp_path / "data/weights/wrn40_2_cifar10"
    assert not list(folder.iterdir())
    published(hashlib.sha256(content).hexdigest())
    assert fetch(wanted) == []
    assert (folder / "w.pt").read_bytes() == content
    (tmp_path / "source").unlink()
    assert fetch(wanted) == []  # it is there
