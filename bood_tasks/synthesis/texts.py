"""Texts drawn from the language model at a temperature (GOE), one shard.

Item i has numbers of its own, from a stream of (seed, i): batches, shards and retries cannot change
it. A killed job goes on after its last whole block. Leaves: `tokens` int32 [n, words], `labels`
(-1), `item`, texts.txt for people, and outliers.json: what all its items have in common.
"""

import math
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int32, Int64
from tokenizers import Tokenizer
from torch import Tensor

from bood_tasks.datasets.vocabulary import END, read_tokenizer
from bood_tasks.generators.language_model.language_model import MODEL, load_language_model
from bood_tasks.generators.language_model.transformer import Transformer, sample
from bood_tasks.jobs import seeds
from bood_tasks.jobs.environment import halved, pick_device
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.networks.padding import PAD
from bood_tasks.synthesis.shards import Batches, describe_outliers, each_shard, write_blocks

VERSION = 1
BATCH, BATCH_ON_CPU = 4000, 500
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
    numbers = torch.from_numpy(uniforms(items, words, seed))
    drawn = sample(model, numbers, temperature=temperature, start=END, never=(PAD, END))
    return drawn.cpu().numpy().astype(np.int32)


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    device, source = pick_device(), job.inputs["language_model"]
    require_temperature(job.settings["temperature"])
    described = source.json(MODEL)
    model = load_language_model(source.folder, described, device)
    model = model.to(getattr(torch, job.settings["dtype"]))
    tokenizer, _ = read_tokenizer(source)
    each_shard(
        job,
        partial(
            write_shard,
            model=model,
            tokenizer=tokenizer,
            vocabulary=described["vocabulary"],
            size=halved(BATCH_ON_CPU if device == "cpu" else BATCH),
        ),
    )


def write_shard(
    job: Job, model: Transformer, tokenizer: Tokenizer, vocabulary: object, size: int
) -> None:
    """Draw one shard into its artifact, `size` texts at a time."""
    settings, start = job.settings, job.settings["start"]
    words, count = settings["words"], settings["stop"] - start

    def draw_rows(rows: np.ndarray) -> Int32[Tensor, "b l"]:
        chosen = {key: settings[key] for key in ("words", "temperature", "seed")}
        return torch.from_numpy(draw(model, rows + start, **chosen))

    with job.draft() as draft:
        tokens = draft.array("tokens", (count, words), "int32", chunk=ROWS_PER_BLOCK)
        batches = Batches(draw_rows, size, pad=False)
        rate, _ = write_blocks(
            draft, tokens, batches, block=ROWS_PER_BLOCK, stage="texts", unit="texts"
        )
        draft.save("labels", np.full(count, -1))
        draft.save("item", np.arange(start, start + count))
        lines = tokenizer.decode_batch(tokens[:].tolist(), skip_special_tokens=False)
        (draft.folder / "texts.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        parameters = ("temperature", "words")
        describe_outliers(
            draft, "language_model", settings, parameters, None, vocabulary=vocabulary
        )
        facts = {"words_per_second": round(rate * words, 1)}
        draft.finish(rows={"texts": count}, facts=facts)
