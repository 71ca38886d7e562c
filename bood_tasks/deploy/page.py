"""One HTML page, of one file and without a network: the most and the least ID items, and where all
scores lie beside those of the calibration split."""

import base64
import heapq
import html
import io
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image

from bood_tasks.catalogue.titles import score_name
from bood_tasks.datasets.pictures import read_told, rows_given
from bood_tasks.deploy.detector import Detector
from bood_tasks.deploy.inputs import PICTURES
from bood_tasks.deploy.items import Item

SHOWN = 24  # of each end
SIDE = 160  # pixels of a thumbnail
WORDS = 300  # characters of a text
BINS = 48
WIDTH, HEIGHT = 720, 140  # of the histogram
STYLE = """
:root { color-scheme: light dark; --line: #8886; --id: #2a7ab8; --ood: #c4562a; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .8rem }
.texts { display: grid; gap: .6rem }
figure { margin: 0; border: 1px solid var(--line); border-radius: 6px; padding: .5rem }
figure { min-width: 0 }
figure img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain }
figcaption { font-size: .8rem; overflow-wrap: anywhere; margin-top: .35rem }
.OOD { color: var(--ood); font-weight: 600 } .ID { color: var(--id); font-weight: 600 }
svg { width: 100%; height: auto } li { overflow-wrap: anywhere }
"""


@dataclass
class Extremes:
    """The SHOWN items of the highest scores and of the lowest."""

    most: list[tuple] = field(default_factory=list)
    least: list[tuple] = field(default_factory=list)
    count: int = 0

    def add(self, item: Item, score: float, decision: str, label: str) -> None:
        self.count += 1
        for heap, order in ((self.most, score), (self.least, -score)):
            told = (order, -self.count, item, score, decision, label)
            (heapq.heappush if len(heap) < SHOWN else heapq.heappushpop)(heap, told)


def _shrunk(picture: PIL.Image.Image) -> np.ndarray:
    picture.thumbnail((SIDE, SIDE))
    return np.asarray(picture)


def thumbnail(item: Item) -> str:
    """Return a picture as the text of an <img>; "" if it cannot be read any more."""
    try:
        found, _ = read_told(rows_given([item.content]), 0, into=_shrunk)
    except OSError:
        found = ""
    if isinstance(found, str):
        return ""
    content = io.BytesIO()
    PIL.Image.fromarray(found).save(content, "JPEG", quality=85)
    encoded = base64.b64encode(content.getvalue()).decode()
    return f'<img alt="" src="data:image/jpeg;base64,{encoded}">'


def excerpt(item: Item) -> str:
    """Return the beginning of a text, escaped."""
    content = item.content
    if isinstance(content, Path):
        try:
            with content.open("rb") as handle:
                content = handle.read(4 * WORDS)
        except OSError:
            return ""
    text = content if isinstance(content, str) else content.decode("utf-8", "replace")
    return html.escape(text[:WORDS]) + ("…" if len(text) > WORDS else "")


def _figures(found: list[tuple], kind: str) -> str:
    """Return the items of one end, the utmost first."""
    parts = []
    for *_, item, score, decision, label in sorted(found, key=lambda told: told[:2], reverse=True):
        shown = thumbnail(item) if kind == PICTURES else f"<div>{excerpt(item)}</div>"
        says = f'<span class="{decision}">{decision}</span> ' if decision else ""
        parts.append(
            f"<figure>{shown}<figcaption>{says}{score:.4g} · {html.escape(label)}<br>"
            f"{html.escape(item.name)}</figcaption></figure>"
        )
    return f'<div class="{"grid" if kind == PICTURES else "texts"}">{"".join(parts)}</div>'


def histogram(scores: np.ndarray, reference: np.ndarray | None, at: float | None) -> str:
    """Return an SVG of where scores lie, filled; those of the calibration split as a line, each to
    its own height."""
    known = [scores] if reference is None else [scores, reference]
    known += [] if at is None else [np.array([at])]
    low, high = (float(end(list(map(end, known)))) for end in (min, max))
    high = high if high > low else low + 1.0
    scale = WIDTH / (high - low)

    def bars(values: np.ndarray) -> np.ndarray:
        counts, _ = np.histogram(values, BINS, (low, high))
        return HEIGHT * counts / max(1, counts.max())

    step = WIDTH / BINS
    parts = [
        f'<rect x="{i * step:.1f}" y="{HEIGHT - bar:.1f}" width="{step:.1f}" height="{bar:.1f}" '
        'fill="var(--id)" fill-opacity=".45"/>'
        for i, bar in enumerate(bars(scores))
    ]
    if reference is not None:
        steps = " ".join(
            f"{i * step:.1f},{HEIGHT - bar:.1f} {(i + 1) * step:.1f},{HEIGHT - bar:.1f}"
            for i, bar in enumerate(bars(reference))
        )
        parts.append(f'<polyline points="{steps}" fill="none" stroke="currentColor"/>')
    if at is not None:
        x = (at - low) * scale
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}" stroke="var(--ood)" '
            'stroke-width="2" stroke-dasharray="5 3"/>'
        )
    labels = (
        f'<text x="0" y="{HEIGHT + 18}" font-size="13" fill="currentColor">{low:.4g}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 18}" font-size="13" text-anchor="end" '
        f'fill="currentColor">{high:.4g}</text>'
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 24}" role="img" '
        f'aria-label="Histogram of the scores">{"".join(parts)}{labels}</svg>'
    )


def page(
    detector: Detector,
    extremes: Extremes,
    scores: np.ndarray,
    at: float | None,
    unreadable: list[str],
) -> str:
    """Return the page's HTML; every name in it is escaped."""
    kind, name = detector.kind, html.escape(score_name(detector.score))
    told = f"{len(scores):,} {kind} scored by {name}; a larger score is more ID."
    if at is not None:
        out = int((scores < at).sum())
        share = f"{100 * out / max(1, len(scores)):.1f} %"
        told += f" {out:,} ({share}) lie below the threshold {at:.4g}: OOD."
    key = "Filled: what was scored."
    key += " Line: the calibration split." if detector.reference is not None else ""
    key += " Dashes: the threshold." if at is not None else ""
    both = ""
    if len(scores):
        both = (
            f"{histogram(scores, detector.reference, at)}<p>{key}</p>"
            f"<h2>The least ID</h2>{_figures(extremes.least, kind)}"
            f"<h2>The most ID</h2>{_figures(extremes.most, kind)}"
        )
    bad = ""
    if unreadable:
        lines = "".join(f"<li>{html.escape(line)}</li>" for line in unreadable)
        bad = f"<h2>{len(unreadable):,} unreadable</h2><ul>{lines}</ul>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>Scores of {kind}</title><style>{STYLE}</style></head><body>"
        f"<h1>The most and the least ID of {len(scores):,} {kind}</h1><p>{told}</p>"
        f"{both}{bad}</body></html>\n"
    )


def write_page(out: Path, *given) -> None:
    """Write the page, whole or not at all."""
    scratch = out.with_name(out.name + ".tmp")
    try:
        scratch.write_text(page(*given), encoding="utf-8", errors="backslashreplace")
        os.replace(scratch, out)
    finally:
        scratch.unlink(missing_ok=True)
