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
from bood_tasks.datasets.folds import fold_of
from bood_tasks.datasets.summary import summarise
from bood_tasks.datasets.vocabulary import SPECIAL, read_tokenizer
from bood_tasks.jobs import seeds
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.networks.padding import PAD

VERSION = 2


def as_ours(rows: Int32[np.ndarray, "n l"], pad: int | None) -> Int32[np.ndarray, "n l"]:
    """Return another tokenizer's numbers with its padding token and PAD in each other's place."""
    if pad in (None, PAD):
        return rows
    return np.where(rows == pad, PAD, np.where(rows == PAD, pad, rows)).astype(np.int32)


def cut(
    tokenizer: Tokenizer,
    texts: Iterable[str],
    *,
    words: int | None,
    min_words: int,
    pad: int | None = None,
) -> tuple[Int32[np.ndarray, "n l"], Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Return the first `words` numbers (None: all) of each text that has `min_words`, padded with
    PAD; which texts those are; and how many words each had.

    `pad`: of another's tokenizer; it keeps the token that ends a text where it cuts.
    """
    texts = list(texts)
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    lengths = np.array([len(item) for item in ids], np.int64)
    kept = np.flatnonzero(lengths >= min_words)
    width = lengths[kept].max(initial=1) if words is None else words
    if pad is not None and words is not None:
        tokenizer.enable_truncation(width)
        ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        tokenizer.no_truncation()
    rows = np.full((len(kept), width), PAD if pad is None else pad, np.int32)
    for row, number in enumerate(kept):
        first = ids[number][:width]
        rows[row, : len(first)] = first
    return as_ours(rows, pad), kept, lengths[kept]


def noise(
    count: int, words: int, vocabulary: int, seed: int, commonest: int | None = None
) -> Int32[np.ndarray, "n l"]:
    """Return texts whose words are drawn uniformly from all but the special ones, or from the
    `commonest` of them, which have the lowest numbers."""
    rng = seeds.generator(seed, "tokens", "noise")
    end = vocabulary if commonest is None else min(vocabulary, len(SPECIAL) + commonest)
    return rng.integers(len(SPECIAL), end, (count, words), dtype=np.int32)


def foreign_noise(
    tokenizer: Tokenizer, count: int, words: int, seed: int, pad: int
) -> Int32[np.ndarray, "n l"]:
    """Return the same by another's tokenizer: all its tokens but the special ones, between those
    that it puts before and behind a text."""
    special = {n for n, item in tokenizer.get_added_tokens_decoder().items() if item.special}
    plain = np.array([n for n in range(tokenizer.get_vocab_size()) if n not in special])
    bare, whole = tokenizer.encode("a", add_special_tokens=False).ids, tokenizer.encode("a").ids
    start = next(n for n in range(len(whole)) if whole[n : n + len(bare)] == bare)
    before, behind = whole[:start], whole[start + len(bare) :]
    inside = words - len(before) - len(behind)
    if inside < 1:
        raise ValueError(
            f"tokens.words must leave room for a word beside the tokenizer's {words - inside} "
            f"special tokens, got {words}; raise it"
        )
    drawn = plain[seeds.generator(seed, "tokens", "noise").integers(0, len(plain), (count, inside))]
    sides = [np.tile(np.array(side, np.int64), (count, 1)) for side in (before, behind)]
    return as_ours(np.concatenate([sides[0], drawn, sides[1]], 1).astype(np.int32), pad)


def _of_corpus(job: Job, tokenizer: Tokenizer, pad: int | None) -> tuple[dict[str, dict], dict]:
    corpus, settings = job.inputs["corpus"], job.settings
    least = settings["min_words"]
    facts, splits, told = corpus.json("corpus.json"), {}, LeftOut()
    told.counts.update(facts["read"]["left_out"])
    for split in facts["counts"]:
        texts = read_split(corpus, split)
        rows, kept, lengths = cut(
            tokenizer, texts, words=settings["words"], min_words=least, pad=pad
        )
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


def _of_fold(job: Job) -> tuple[dict[str, dict], dict]:
    """Return some classes of texts that are cut already."""
    of = job.inputs["of"]
    facts = of.json("dataset.json")
    rows, classes = fold_of(job.settings, of, facts["classes"])
    splits = {
        name: {
            "tokens": of[f"{split}/tokens"][:][picked],
            "length": of[f"{split}/length"][:][picked],
            "labels": labels[picked],
            "index": of[f"{split}/index"][:][picked],
        }
        for name, (split, picked, labels) in rows.items()
    }
    read = summarise(classes, {name: part["labels"] for name, part in splits.items()}, LeftOut())
    told = {"kind": job.settings["kind"], "title": facts["title"], "classes": classes}
    return splits, told | {"read": read}


def _of_noise(
    settings: Mapping, tokenizer: Tokenizer, pad: int | None
) -> tuple[dict[str, dict], dict]:
    count, words, seed = settings["count"], settings["words"], settings["seed"]
    if pad is None:
        size = tokenizer.get_vocab_size()
        rows = noise(count, words, size, seed, settings["commonest"])
    else:
        rows = foreign_noise(tokenizer, count, words, seed, pad)
    split = {
        "tokens": rows,
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
    pad = job.inputs["vocabulary"].json("vocabulary.json").get("pad")
    if settings["words"] and settings.get("min_words", 0) > settings["words"]:
        raise ValueError(
            f"tokens.min_words must be at most tokens.words = {settings['words']}, got "
            f"{settings['min_words']}"
        )
    if "corpus" in job.inputs:
        splits, facts = _of_corpus(job, tokenizer, pad)
    elif "of" in job.inputs:
        splits, facts = _of_fold(job)
    else:
        splits, facts = _of_noise(settings, tokenizer, pad)
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
