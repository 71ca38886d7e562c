"""`bood serve`: a bundle behind HTTP.

`POST /score` takes files as multipart/form-data, one picture or text as the body, or texts as JSON
(`{"texts": [...]}`); `GET /health`, `GET /metrics` (Prometheus) and a page at `/`. What a request
may hold is bounded before it is read, a picture's pixels before it is decoded.
"""

import asyncio
import json
import logging
import math
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from bood_tasks import __version__
from bood_tasks.catalogue.titles import score_name
from bood_tasks.deploy.batching import Batcher
from bood_tasks.deploy.detector import Detector
from bood_tasks.deploy.drop_page import drop_page
from bood_tasks.deploy.inputs import PICTURES, ROWS_AT_ONCE, WORKERS

LOG = logging.getLogger("bood")
NAME = 200  # characters of a file's name that are said again
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class Limits:
    """What is refused: larger bodies, larger pictures, more items in a request, more requests at
    once, bodies that take longer to come."""

    body: int = 16 * 2**20  # bytes
    pixels: int = 50_000_000
    items: int = 64
    requests: int = 64
    seconds: float = 30.0


class Measures:
    """What /metrics says."""

    def __init__(self, detector: Detector):
        self.registry = CollectorRegistry()
        given = {"registry": self.registry}
        self.requests = Counter(
            "bood_requests", "Requests to /score, by status", ["status"], **given
        )
        self.items = Counter("bood_items", "Items, by decision", ["decision"], **given)
        self.waiting = Gauge("bood_requests_in_progress", "Requests to /score at work", **given)
        self.seconds = Histogram("bood_request_seconds", "Time of a request to /score", **given)
        sizes = [2**k for k in range(math.ceil(math.log2(ROWS_AT_ONCE)) + 1)]
        self.batches = Histogram("bood_batch_items", "Items run together", buckets=sizes, **given)
        if detector.reference is not None:  # where ID scores lie: a tenth of them in each
            edges = np.unique(np.quantile(detector.reference, np.linspace(0, 1, 11)))
            self.scores = Histogram("bood_score", "Scores", buckets=edges.tolist(), **given)
        else:
            self.scores = Histogram("bood_score", "Scores", **given)


@dataclass(frozen=True)
class Given:
    """One item of a request: its name and its content, read when its turn comes."""

    name: str
    content: UploadFile | bytes | str


def warm(detector: Detector) -> None:
    """Run the network once: the first pass is the slowest, and damage shows before a request."""
    if detector.kind == PICTURES:
        side = detector.input.size
        detector.judge([np.zeros((side, side, 3), np.uint8)])
    else:
        detector.judge([np.ones(max(1, detector.input.min_words), np.int32)])


def limited(request: Request, most: int) -> Request:
    """Return a request whose body ends with an error beyond `most` bytes."""
    seen = 0

    async def receive() -> dict:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise HTTPException(413, f"the body must have at most {most:,} bytes; send fewer files")
        return message

    return Request(request.scope, receive)


async def given_by(
    request: Request, kind: str, limits: Limits, stack: AsyncExitStack
) -> list[Given]:
    """Return a request's items, whose files `stack` closes. Raises HTTPException for what it may
    not hold."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > limits.body:
        raise HTTPException(413, f"the body must have at most {limits.body:,} bytes, got {length}")
    request = limited(request, limits.body)
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == "multipart/form-data":
        form = await stack.enter_async_context(
            request.form(max_files=limits.items, max_fields=limits.items)
        )
        found = [
            Given((item.filename or "")[:NAME], item)
            if isinstance(item, UploadFile)
            else Given(f"field {name[:NAME]}", item)
            for name, item in form.multi_items()
        ]
    elif media == "application/json" and kind != PICTURES:
        found = _texts_of(await request.body(), limits)
    elif media in ("application/json", "application/x-www-form-urlencoded"):
        raise HTTPException(415, f"{kind} must be sent as files or as the body, got {media}")
    else:
        body = await request.body()
        found = [Given("body", body)] if body else []
    if not found:
        raise HTTPException(400, f"there must be {kind} in the request, got none")
    return found


def _texts_of(body: bytes, limits: Limits) -> list[Given]:
    try:
        texts = json.loads(body)["texts"]
        right = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    except (ValueError, KeyError, TypeError, RecursionError):
        right = False
    if not right:
        raise HTTPException(400, 'JSON must be {"texts": [...]}, a list of texts')
    if len(texts) > limits.items:
        raise HTTPException(
            400, f"a request must have at most {limits.items} items, got {len(texts)}"
        )
    return [Given(f"text {number}", text) for number, text in enumerate(texts)]


@dataclass
class Service:
    """One detector, its batches, threads and counts."""

    detector: Detector
    limits: Limits
    tpr: float
    threshold: float | None

    def __post_init__(self):
        self.measures = Measures(self.detector)
        self.readers = ThreadPoolExecutor(WORKERS, "read")
        self.runner = ThreadPoolExecutor(1, "run")
        self.at_work = 0
        self.batcher = Batcher(
            self.detector, self.runner, ROWS_AT_ONCE, self.tpr, self.threshold,
            self.measures.batches.observe,
        )  # fmt: skip

    def _read(self, item: Given) -> np.ndarray | str:
        content = item.content
        if isinstance(content, UploadFile):
            content.file.seek(0)
            content = content.file.read()
        if isinstance(content, str) and self.detector.kind == PICTURES:
            return "it is a text, and pictures are read here"
        found = self.detector.read([content])[0]
        return found.partition(": ")[2] if isinstance(found, str) else found

    async def _judged(self, item: Given) -> dict:
        row = await asyncio.get_running_loop().run_in_executor(self.readers, self._read, item)
        if isinstance(row, str):
            self.measures.items.labels("unreadable").inc()
            return {"name": item.name, "error": row}
        score, decision, label = await self.batcher.judge(row)
        self.measures.items.labels(decision or "none").inc()
        self.measures.scores.observe(score)
        return {"name": item.name, "score": score, "decision": decision or None, "class": label}

    async def _answer(self, request: Request) -> JSONResponse:
        if self.at_work >= self.limits.requests:
            raise HTTPException(503, "too many requests at once", {"Retry-After": "1"})
        self.at_work += 1
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self.limits.seconds):
                    found = await given_by(request, self.detector.kind, self.limits, stack)
                results = await asyncio.gather(*map(self._judged, found))
        except TimeoutError:
            raise HTTPException(408, "the body took too long to come") from None
        finally:
            self.at_work -= 1
        content = {
            "score": self.detector.score,
            "threshold": self.detector.chosen(self.tpr, self.threshold),
            "results": results,
        }
        return JSONResponse(content, 422 if all("error" in item for item in results) else 200)

    async def score(self, request: Request) -> Response:
        """Answer POST /score, whatever happens."""
        began = time.monotonic()
        try:
            with self.measures.waiting.track_inprogress():
                answer = await self._answer(request)
        except HTTPException as error:
            answer = JSONResponse({"error": error.detail}, error.status_code, error.headers)
        except ClientDisconnect:
            answer = Response(status_code=400)  # nobody reads it
        except Exception as error:  # the next request may be answered
            LOG.exception("a request to /score failed")
            told = str(error) if isinstance(error, ValueError) else "it failed; see the log"
            answer = JSONResponse({"error": told}, 500)
        self.measures.requests.labels(str(answer.status_code)).inc()
        self.measures.seconds.observe(time.monotonic() - began)
        return answer


def application(
    detector: Detector,
    *,
    limits: Limits | None = None,
    tpr: float = 0.95,
    threshold: float | None = None,
) -> FastAPI:
    """Return the application that serves a detector. Raises ValueError for a bad share."""
    limits = limits or Limits()
    at = detector.chosen(tpr, threshold)
    if detector.kind == PICTURES:
        bounded = replace(detector.input, max_pixels=min(limits.pixels, detector.input.max_pixels))
        detector = replace(detector, input=bounded)
    service = Service(detector, limits, tpr, threshold)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warm(detector)
        work = asyncio.create_task(service.batcher.work())
        yield
        work.cancel()
        service.readers.shutdown(cancel_futures=True)
        service.runner.shutdown(cancel_futures=True)

    app = FastAPI(title="bood", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.service = service
    app.post("/score")(service.score)

    @app.get("/health")
    async def health() -> dict:
        return {
            "status": "ok", "version": __version__, "kind": detector.kind, "score": detector.score,
            "threshold": at, "classes": len(detector.classes),
        }  # fmt: skip

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(service.measures.registry), media_type=CONTENT_TYPE_LATEST)

    page = drop_page(detector.kind, score_name(detector.score), at, limits.items, limits.body)

    @app.get("/")
    async def index() -> HTMLResponse:
        return HTMLResponse(page, headers=HEADERS)

    return app


def serve(app: FastAPI, host: str, port: int, limits: Limits) -> None:
    """Serve until a signal ends it; requests at work are answered first."""
    import uvicorn

    uvicorn.run(
        app, host=host, port=port, log_level="warning", timeout_keep_alive=10, backlog=512,
        timeout_graceful_shutdown=int(limits.seconds), server_header=False,
    )  # fmt: skip
