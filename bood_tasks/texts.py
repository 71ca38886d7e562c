"""Texts drawn from the language model at a temperature (GOE), one shard.

Item i has numbers of its own, from a stream of (seed, i): batches, shards and retries cannot change
it. A killed job goes on after its last whole block. Leaves: `tokens` int32 [n, words], `labels`
(-1), `item`, texts.txt for people, and outliers.json: what all its items have in common.
"""

import math
import time

import numpy as np
import torch
from jaxtyping import Float, Int32, Int64

from bood_tasks import seeds
from bood_tasks.environment import halved, pick_device
from bood_tasks.language_model import MODEL, load_language_model
from bood_tasks.progress import progress
from bood_tasks.stage import read_job, run
from bood_tasks.store import write_json
from bood_tasks.transformer import Transformer, sample
from bood_tasks.vocabulary import END, PAD, read_tokenizer

VERSION = 1
BATCH = {"cpu": 500, "cuda": 4000}
ROWS_PER_BLOCK = 4000  # a multiple of both


def require_temperature(temperature: float) -> None:
    """Raise ValueError unless a temperature is positive and finite."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"texts.temperature must be positive and finite, got {temperature}")


def uniforms(items: Int64[np.ndarray, " b"], words: int, seed: int) -> Float[np.ndarray, "b l"]:
    """Return each item's numbers in [0, 1), from its own stream."""
    return np.stack([seeds.generator(seed, "texts", int(i)).random(words) for i in items])


def draw(
    model: Transformer,
    items: Int64[np.ndarray, " b"],
    *,
    words: int,
    temperature: float,
    seed: int,
) -> Int32[np.ndarray, "b l"]:
    """Return the items' texts: after [EOS], `words` words, none of them [EOS] or [PAD]."""
    given = torch.from_numpy(uniforms(items, words, seed))
    found = sample(model, given, temperature=temperature, start=END, never=(PAD, END))
    return found.cpu().numpy().astype(np.int32)


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings, device = job.settings, pick_device()
    require_temperature(settings["temperature"])
    start, stop = settings["start"], settings["stop"]
    if not 0 <= start < stop:
        raise ValueError(f"a shard must cover at least one text, got {start}..{stop}")
    source = job.inputs["language_model"]
    described = source.json(MODEL)
    model = load_language_model(source.folder, described, device)
    model = model.to(getattr(torch, settings["dtype"]))
    tokenizer, _ = read_tokenizer(source)
    words, count, size = settings["words"], stop - start, halved(BATCH[device])
    done_path = job.out.parent / ".progress" / "rows"
    with job.draft() as draft:
        rows = draft.array("tokens", (count, words), "int32", chunk=ROWS_PER_BLOCK)
        done = int(done_path.read_text()) if done_path.is_file() else 0
        began = time.monotonic()
        with progress("texts", count, "texts", done=done) as advance:
            for first in range(done, count, ROWS_PER_BLOCK):
                last = min(first + ROWS_PER_BLOCK, count)
                for place in range(first, last, size):
                    items = np.arange(place, min(place + size, last)) + start
                    rows[place : place + len(items)] = draw(
                        model, items, words=words,
                        temperature=settings["temperature"], seed=settings["seed"],
                    )  # fmt: skip
                    advance(len(items))
                done_path.write_text(str(last))
        rate = (count - done) * words / max(time.monotonic() - began, 1e-9)
        draft.save("labels", np.full(count, -1))
        draft.save("item", np.arange(start, stop))
        lines = tokenizer.decode_batch(rows[:].tolist(), skip_special_tokens=False)
        (draft.folder / "texts.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        shared = {
            "source": "language_model",
            "seed": settings["seed"],
            "classes": None,
            "vocabulary": described["vocabulary"],
            "parameters": {name: settings[name] for name in ("temperature", "words")},
        }
        write_json(draft.folder / "outliers.json", shared)
        draft.finish(rows={"texts": count}, facts={"words_per_second": round(rate, 1)})


if __name__ == "__main__":
    run(main)
