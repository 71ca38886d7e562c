"""`bood serve` over a real socket: what it answers, what it refuses, and under load."""

import http.client
import io
import json
import os
import re
import socket
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import PIL.Image
import pytest

from bood_tasks import load_detector
from bood_tasks.deploy.detector import Detector
from bood_tasks.deploy.inputs import PictureInput, TextInput
from bood_tasks.deploy.write_bundle import bundle
from tests.tiny_detector import Tiny, pictures

uvicorn = pytest.importorskip("uvicorn", reason="bood serve is an extra: serve")
pytest.importorskip("fastapi")
from bood_tasks.deploy.serve import Limits, application  # noqa: E402

LIMITS = Limits(body=300_000, pixels=100_000, items=8, requests=16, seconds=2.0)
EDGE = "----an-edge"


class Server:
    """An application behind a port of its own, in a thread."""

    def __init__(self, app):
        config = uvicorn.Config(app, port=0, log_level="error", lifespan="on")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)

    def __enter__(self):
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join()

    def ask(self, method, path, body=None, **headers) -> tuple[int, object]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.status, json.loads(content) if is_json else content.decode()

    def post(self, *files: tuple[str, bytes]) -> tuple[int, dict]:
        body = b"".join(
            f'--{EDGE}\r\nContent-Disposition: form-data; name="file"; filename="'.encode()
            + name.encode("utf-8", "surrogateescape")
            + b'"\r\nContent-Type: image/png\r\n\r\n' + content + b"\r\n"
            for name, content in files
        )  # fmt: skip
        body += f"--{EDGE}--\r\n".encode()
        return self.ask(
            "POST", "/score", body, Content_Type=f"multipart/form-data; boundary={EDGE}"
        )

    def metrics(self) -> dict[str, float]:
        _, text = self.ask("GET", "/metrics")
        found = re.findall(r"^(bood_\S+) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found}


def png(picture: PIL.Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiny")
    scores = Tiny(root).scores("cross_entropy", "energy")
    bundle(scores.folder, root / "bundle")
    return scores, load_detector(root / "bundle")


@pytest.fixture(scope="module")
def server(made):
    with Server(application(made[1], limits=LIMITS)) as running:
        yield running


def test_files_and_a_body_get_the_scores_of_the_stages(made, server):
    scores, detector = made
    files = [(f"{i}.png", png(picture)) for i, picture in enumerate(pictures("near/test"))]
    status, found = server.post(*files)
    assert status == 200
    assert [item["name"] for item in found["results"]] == [name for name, _ in files]
    wanted = scores["near/test/score"][:]
    np.testing.assert_allclose([item["score"] for item in found["results"]], wanted, rtol=1e-4)
    assert found["threshold"] == detector.threshold(0.95)
    accepted = ["ID" if item["score"] >= found["threshold"] else "OOD" for item in found["results"]]
    assert [item["decision"] for item in found["results"]] == accepted
    status, one = server.ask("POST", "/score", files[2][1], Content_Type="image/png")
    assert status == 200
    assert one["results"][0]["score"] == pytest.approx(wanted[2], rel=1e-4)


def test_health_and_metrics_say_what_happened(made, server):
    status, health = server.ask("GET", "/health")
    assert (status, health["status"], health["kind"]) == (200, "ok", "pictures")
    before = server.metrics()
    server.post(*[(f"{i}.png", png(p)) for i, p in enumerate(pictures("near/test"))], ("x", b"no"))
    after = server.metrics()

    def more(name):
        return after.get(name, 0) - before.get(name, 0)

    decided = sum(more(f'bood_items_total{{decision="{name}"}}') for name in ("ID", "OOD"))
    assert decided == 5
    assert more('bood_items_total{decision="unreadable"}') == 1
    assert more('bood_requests_total{status="200"}') == 1
    assert more("bood_request_seconds_count") == 1
    assert more("bood_score_count") == 5
    assert after["bood_requests_in_progress"] == 0


def bomb(side: int) -> bytes:
    """A PNG that claims side x side pixels, and holds none of them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        whole = kind + content
        return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


WHOLE = png(pictures("near/test")[1].resize((64, 64)))
HOSTILE = {
    "a bomb": (bomb(30_000), "exceeds limit"),
    "larger than allowed": (png(PIL.Image.new("RGB", (400, 300))), "120,000 pixels, more than"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nquit\n", "cannot identify"),
    "cut off": (WHOLE[: len(WHOLE) // 2], "truncated"),
    "empty": (b"", "cannot identify"),
    "a script": (b"<svg onload='alert(1)'/>", "cannot identify"),
    "a program": (b"\x7fELF" + bytes(64), "cannot identify"),
}


def test_hostile_files_are_named_and_the_others_scored(server):
    files = [(name, content) for name, (content, _) in HOSTILE.items()]
    status, found = server.post(*files, ("good.png", WHOLE))
    assert status == 200
    told = {item["name"]: item for item in found["results"]}
    for name, (_, why) in HOSTILE.items():
        assert why in told[name]["error"], told[name]
    assert told["good.png"]["decision"] in ("ID", "OOD")
    assert server.post(*files)[0] == 422  # nothing could be read


ODD = ("../../etc/passwd", "<img src=x onerror=alert(1)>.png", "=1+1.png", "x" * 1000, "caf\udce9")


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_odd_names_are_said_as_text(server, name):
    status, found = server.post((name, WHOLE))
    assert status == 200
    (item,) = found["results"]
    assert len(item["name"]) <= 200
    assert item["decision"]


def test_what_is_too_much_is_refused_unread(server):
    status, found = server.ask("POST", "/score", b"x" * 400_000, Content_Type="image/png")
    assert status == 413
    assert "at most 300,000 bytes, got 400000" in found["error"]
    assert server.post(*[("a.png", WHOLE)] * 9)[0] == 400
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        line.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 2147483648\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 413 ")  # 2 GB claimed, none sent
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        line.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + bytes(65536) + b"\r\n"
        with suppress(OSError):  # the server closes
            for _ in range(60):  # no length is claimed: it is counted
                line.sendall(piece)
        assert line.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_come_is_given_up(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        line.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        assert line.recv(100).startswith(b"HTTP/1.1 408 ")
    assert server.ask("GET", "/health")[0] == 200


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "image/png", 400),
        (b"{}", "application/json", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x", 400),
        (b"nonsense", "multipart/form-data", 400),
    ],
)
def test_other_requests_are_refused(server, body, kind, status):
    found = server.ask("POST", "/score", body, Content_Type=kind)
    assert found[0] == status
    assert "error" in found[1]


def test_the_page_asks_nobody_else_and_runs_no_name(server):
    status, page = server.ask("GET", "/")
    assert status == 200
    assert not re.search(r"(src|href)=.?https?:", page)
    assert "innerHTML" not in page
    assert '{"items": 8, "body": 300000}' in page


def slow(seconds: float) -> Detector:
    def run(batch):
        time.sleep(seconds)
        return batch.mean((1, 2, 3)), np.zeros((len(batch), 2))

    return Detector("energy", ["a", "b"], PictureInput(8, "pad"), run, "x/validation", np.ones(3))


def test_requests_share_batches_and_get_their_own_answers():
    sizes, detector = [], slow(0.05)
    run = detector.run
    watched = Detector(
        **{**vars(detector), "run": lambda batch: (sizes.append(len(batch)), run(batch))[1]}
    )
    greys = range(0, 240, 10)
    files = [png(PIL.Image.new("RGB", (8, 8), (grey,) * 3)) for grey in greys]
    with Server(application(watched)) as server, ThreadPoolExecutor(24) as pool:
        found = list(pool.map(lambda content: server.post(("a.png", content)), files))
    assert [answer["results"][0]["score"] for _, answer in found] == list(greys)
    assert len(sizes) < 12  # the first is that of the start
    assert max(sizes) > 4


def test_more_requests_than_allowed_are_told_to_come_back():
    limits = Limits(requests=2)
    content = png(PIL.Image.new("RGB", (8, 8)))
    with Server(application(slow(0.3), limits=limits)) as server, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: server.post(("a.png", content))[0], range(8)))
        assert set(found) == {200, 503}
        assert found.count(200) >= 2
        assert server.post(("a.png", content))[0] == 200


def test_a_score_that_is_not_finite_ends_no_other():
    def run(batch):
        values = batch.mean((1, 2, 3))
        return np.where(values == 255, np.nan, values), np.zeros((len(batch), 2))

    detector = Detector("energy", ["a", "b"], PictureInput(8, "pad"), run)
    files = [png(PIL.Image.new("RGB", (8, 8), colour)) for colour in ("white", "black")] * 8
    with Server(application(detector)) as server, ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda content: server.post(("a.png", content)), files))
    assert [status for status, _ in found] == [500, 200] * 8
    assert "must be finite" in found[0][1]["error"]


def test_texts_are_taken_as_json_lines_of_a_form_and_files():
    words = {"a": 3, "b": 4}
    reading = TextInput(lambda text: [words.get(word, 1) for word in text.split()], min_words=2)
    detector = Detector(
        "energy", ["x", "y"], reading,
        lambda batch: (batch.sum(1).astype(float), np.zeros((len(batch), 2))),
    )  # fmt: skip
    with Server(application(detector, limits=Limits(items=3))) as server:
        body = json.dumps({"texts": ["a a", "b a b", "a"]})
        status, found = server.ask("POST", "/score", body, Content_Type="application/json")
        assert status == 200
        assert found["threshold"] is None
        first, second, third = found["results"]
        assert (first["score"], first["decision"], second["score"]) == (6, None, 11)
        assert "1 word, fewer than the 2" in third["error"]
        assert server.post(("a.txt", b"b b"))[1]["results"][0]["score"] == 8
        many = json.dumps({"texts": ["a"] * 4})
        for bad in ('{"texts": "a"}', "[" * 100_000, '{"texts": [1]}', many):
            assert server.ask("POST", "/score", bad, Content_Type="application/json")[0] == 400


def test_a_small_load_is_answered_without_an_error_in_bounded_memory(server):
    """benchmarks/serving.py asks for more."""
    files = [png(picture) for picture in pictures("far/test")]

    def resident() -> int:
        with open("/proc/self/statm") as handle:
            return int(handle.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def ask(number: int) -> int:
        content = files[number % len(files)]
        return server.ask("POST", "/score", content, Content_Type="image/png")[0]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(60))) == {200}
        before = resident()
        assert set(pool.map(ask, range(200))) == {200}
    assert resident() - before < 30e6
