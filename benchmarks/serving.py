"""A bundle in service: requests a second, their waits, the server's memory, and the first score.

    PYTHONPATH=. python benchmarks/serving.py --bundle shoes --rate 200 --seconds 60

Without --bundle one with random weights is made (ResNet-18 of --width at 32 pixels, energy). The
server is `bood serve` in a process of its own. Requests are due at equal distances, whatever the
server does, and a wait counts from then on, so that a server that falls behind is not flattered.
The client works on the same cores. `first`: from the start of `bood score` to its first row, as
many times as --starts, and as a yardstick the start of a Python that imports what it cannot do
without.
The last line is JSON; `ratio` is the first score's median over the yardstick's.
"""

import argparse
import hashlib
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import PIL.Image
from machine import machine

from bood_tasks.deploy import bundle as layout
from bood_tasks.deploy.detector import Detector
from bood_tasks.deploy.export import write_graph
from bood_tasks.deploy.inputs import PictureInput
from bood_tasks.deploy.trained import ScoredNetwork, Trained
from bood_tasks.detectors.model import build

BOOD = (sys.executable, "-m", "bood_tasks.cli.main")
NEEDED = "import numpy, PIL.Image, onnxruntime"
CLIENTS = 16


def make_bundle(folder: Path, width: int) -> Path:
    """Write a bundle with random weights."""
    shape = {"network": "resnet", "depth": 18, "width": width, "stem": "cifar", "classes": 10}
    model = build(shape | {"method": "cross_entropy", "settings": {}}).eval()
    network = ScoredNetwork(model, {"score": "energy"}, {}, 0.0)
    reading = PictureInput(32, "pad")
    detector = Detector(
        "energy", [str(k) for k in range(10)], reading, lambda batch: (batch, batch)
    )
    folder.mkdir()
    write_graph(Trained(detector, network, None, None), folder / layout.GRAPH, {})
    scores = np.random.default_rng(0).normal(size=500).astype(np.float32)
    np.save(folder / layout.CALIBRATION, scores)
    config = {
        layout.MARK: layout.FORMAT, "kind": "pictures", "classes": detector.classes,
        "score": {"name": "energy", "settings": {"score": "energy"}, "magnitude": 0.0},
        "preprocessing": {"size": 32, "fit": "pad", "kernel": "bilinear", "crop": None},
        "calibration": {"split": "random/validation", "count": len(scores)},
        "files": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()
        },
    }  # fmt: skip
    (folder / layout.CONFIG).write_text(json.dumps(config))
    return folder


def picture(number: int, side: int = 64) -> bytes:
    """Return a JPEG of its own, as a small picture of a camera."""
    rng = np.random.default_rng(number)
    coarse = PIL.Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    content = io.BytesIO()
    coarse.resize((side, side)).save(content, "JPEG")
    return content.getvalue()


def memory(process: int) -> int:
    """Return the bytes that a process holds."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ask(local: threading.local, port: int, content: bytes) -> int | str:
    """Return the status of one request, or what went wrong."""
    try:
        if not hasattr(local, "line"):
            local.line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        local.line.request("POST", "/score", content, {"Content-Type": "image/jpeg"})
        answer = local.line.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException) as error:
        del local.line
        return type(error).__name__


def load(port: int, process: int, rate: float, seconds: float) -> dict:
    """Send requests at a rate; return their statuses, waits (ms) and the server's memory (MB)."""
    pictures, local = [picture(number) for number in range(50)], threading.local()
    began, held = time.monotonic() + 0.2, []

    def one(number: int) -> tuple[int | str, float]:
        due = began + number / rate
        time.sleep(max(0.0, due - time.monotonic()))
        status = ask(local, port, pictures[number % len(pictures)])
        if number % max(1, int(rate)) == 0:
            held.append(memory(process))
        return status, time.monotonic() - due

    with ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(one, range(int(rate * seconds))))
    took = time.monotonic() - began
    waits = 1000 * np.array([wait for _, wait in found])
    shares = {
        f"p{share}_ms": round(float(np.percentile(waits, share)), 1) for share in (50, 95, 99)
    }
    return {
        "statuses": {str(key): count for key, count in Counter(s for s, _ in found).items()},
        "requests_per_second": round(len(found) / took, 1), **shares,
        "memory_mb": {"first": round(held[0] / 1e6, 1), "last": round(held[-1] / 1e6, 1),
                      "most": round(max(held) / 1e6, 1)},
    }  # fmt: skip


def serving(bundle: Path, rate: float, seconds: float) -> dict:
    """Start `bood serve`, send requests, end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([*BOOD, "serve", "--bundle", str(bundle), "--port", str(port)])
    try:
        for _ in range(300):
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=1).request("GET", "/health")
                break
            except OSError:
                time.sleep(0.1)
        return load(port, server.pid, rate, seconds)
    finally:
        server.terminate()
        server.wait(30)


def starts(command: list[str], count: int) -> float:
    """Return the median seconds from a process' start to the end of its second line or of itself,
    whichever comes first."""
    seconds = []
    for _ in range(count):
        began = time.monotonic()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            process.stdout.readline()
            process.stdout.readline()
            seconds.append(time.monotonic() - began)
    return median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--starts", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        bundle = given.bundle or make_bundle(place / "bundle", given.width)
        (place / "one.jpg").write_bytes(picture(0))
        asked = [*BOOD, "score", "--bundle", str(bundle), "--out", "-", str(place / "one.jpg")]
        first, bare = (
            starts(asked, given.starts),
            starts([sys.executable, "-c", NEEDED], given.starts),
        )
        told = serving(bundle, given.rate, given.seconds)
    print(f"first score {1000 * first:.0f} ms, of which imports of others' {1000 * bare:.0f} ms")
    print(f"{told['requests_per_second']} requests a second: {told['statuses']}")
    print(
        json.dumps(
            {"seconds": first, "peer_seconds": bare, "ratio": round(first / bare, 2), **told}
            | {"machine": machine("cpu")}
        )
    )


if __name__ == "__main__":
    main()
