"""One formula for every random stream, so that batches, shards, retries and devices cannot
change an item."""

import hashlib
import json

import numpy as np


def stream(run_seed: int, stage: str, *item: int | str) -> int:
    """Return a 63-bit seed: the hash of (run seed, stage, class, item index, ...)."""
    text = json.dumps([run_seed, stage, *item])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(run_seed: int, stage: str, *item: int | str) -> np.random.Generator:
    """Return numpy's generator on that stream."""
    return np.random.default_rng(stream(run_seed, stage, *item))
