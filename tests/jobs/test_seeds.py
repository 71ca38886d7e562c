"""Random streams: one formula, told apart by each of its parts."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from bood_tasks.jobs.seeds import generator, stream


def test_stream_is_the_documented_hash():
    digest = hashlib.blake2b(b'[7, "images", "bag", 12]', digest_size=8).digest()
    assert stream(7, "images", "bag", 12) == int.from_bytes(digest, "big") >> 1


def test_stream_depends_on_every_part():
    base = (0, "images", "bag", 1)
    others = [(1, "images", "bag", 1), (0, "encoder", "bag", 1), (0, "images", "boot", 1)]
    others += [(0, "images", "bag", 2), (0, "images", "bag"), (0, "images", "bag", "1")]
    others += [(0, "images", "b", "ag", 1)]
    assert len({stream(*parts) for parts in [base, *others]}) == 1 + len(others)


@given(st.integers(0, 2**40), st.text(), st.integers(0))
def test_stream_fits_a_signed_64_bit_seed(seed, stage, item):
    assert 0 <= stream(seed, stage, item) < 2**63


def test_generator_repeats_its_draws():
    first, second = generator(3, "noise", 5), generator(3, "noise", 5)
    assert (first.random(4) == second.random(4)).all()
