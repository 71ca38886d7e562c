"""A corpus as a classifier reads it: numbers of words, texts whole or cut to one length.

Or noise: every word drawn uniformly. Leaves: `<split>/tokens` int32 [n, words], as wide as the
longest text, padded behind; `<split>/labels`, `<split>/index`, `<split>/length` (words before the
cut) and dataset.json.
"""

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Int32, Int64
from tokenizers import Tokenizer

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.catalogue.walk import LeftOut
from bood_tasks.datasets.corpus import read_split
from bood_tasks.datasets.summary import summarise
from bood_tasks.datasets.vocabulary import SPECIAL, read_tokenizer
from bood_tasks.jobs import seeds
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.networks.padding import PAD

VERSION = 2


def cut(
    tokenizer: Tokenizer, texts: Iterable[str], *, words: int | None, min_words: int
) -> tuple[Int32[np.ndarray, "n l"], Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Return the first `words` numbers (None: all) of each text that has `min_words`, padded with
    PAD; which texts those are; and how many words each had."""
    ids = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    lengths = np.array([len(item) for item in ids], np.int64)
    kept = np.flatnonzero(lengths >= min_words)
    width = lengths[kept].max(initial=1) if words is None else words
    rows = np.full((len(kept), width), PAD, np.int32)
    for row, number in enumerate(kept):
        first = ids[number][:width]
        rows[row, : len(first)] = first
    return rows, kept, lengths[kept]


def noise(
    count: int, words: int, vocabulary: int, seed: int, commonest: int | None = None
) -> Int32[np.ndarray, "n l"]:
    """Return texts whose words are drawn uniformly from all but the special ones, or from the
    `commonest` of them, which have the lowest numbers."""
    rng = seeds.generator(seed, "tokens", "noise")
    end = vocabulary if commonest is None else min(vocabulary, len(SPECIAL) + commonest)
    return rng.integers(len(SPECIAL), end, (count, words), dtype=np.int32)


def _of_corpus(job: Job, tokenizer: Tokenizer) -> tuple[dict[str, dict], dict]:
    corpus, settings = job.inputs["corpus"], job.settings
    least = settings["min_words"]
    facts, splits, told = corpus.json("corpus.json"), {}, LeftOut()
    told.counts.update(facts["read"]["left_out"])
    for split in facts["counts"]:
        texts = read_split(corpus, split)
        rows, kept, lengths = cut(tokenizer, texts, words=settings["words"], min_words=least)
        if short := len(texts) - len(kept):
            told.add(f"with fewer words than tokens.min_words = {least}", split, short)
        if not len(rows):
            raise ValueError(
                f"datasets.{settings['name']}: no text of its {split} split has tokens.min_words = "
                f"{least} words; lower it"
            )
        splits[split] = {
            "tokens": rows, "length": lengths,
            "labels": corpus[f"{split}/labels"][:][kept],
            "index": corpus[f"{split}/index"][:][kept],
        }  # fmt: skip
    labels = {split: arrays["labels"] for split, arrays in splits.items()}
    read = facts["read"] | summarise(facts["classes"], labels, told)
    return splits, {key: facts[key] for key in ("kind", "title", "classes")} | {"read": read}


def _of_noise(settings: Mapping, vocabulary: int) -> tuple[dict[str, dict], dict]:
    count, words = settings["count"], settings["words"]
    split = {
        "tokens": noise(count, words, vocabulary, settings["seed"], settings["commonest"]),
        "length": np.full(count, words), "labels": np.full(count, -1), "index": np.arange(count),
    }  # fmt: skip
    return {"test": split}, {"kind": settings["kind"], "title": settings["name"], "classes": []} | {
        "read": summarise([], {"test": split["labels"]}, LeftOut())
    }


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings = job.settings
    tokenizer, content = read_tokenizer(job.inputs["vocabulary"])
    size = tokenizer.get_vocab_size()
    if settings["words"] and settings.get("min_words", 0) > settings["words"]:
        raise ValueError(
            f"tokens.min_words must be at most tokens.words = {settings['words']}, got "
            f"{settings['min_words']}"
        )
    if "corpus" in job.inputs:
        splits, facts = _of_corpus(job, tokenizer)
    else:
        splits, facts = _of_noise(settings, size)
    with job.draft() as draft:
        for split, arrays in splits.items():
            for name, values in arrays.items():
                draft.save(f"{split}/{name}", values)
        counts = {split: len(arrays["tokens"]) for split, arrays in splits.items()}
        facts |= {
            "name": settings["name"],
            "counts": counts,
            "content": {
                split: hashlib.sha256(arrays["tokens"].tobytes()).hexdigest()
                for split, arrays in splits.items()
            },
            "words": max(arrays["tokens"].shape[1] for arrays in splits.values()),
            "mean_words": float(np.mean(np.concatenate([a["length"] for a in splits.values()]))),
            "vocabulary": content,
            "vocabulary_size": size,
        }
        write_json(draft.folder / "dataset.json", facts)
        draft.finish(rows=counts)
