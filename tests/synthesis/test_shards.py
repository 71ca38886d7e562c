"""Batches that fit and blocks that are written."""

import errno
import threading

import numpy as np
import pytest
import torch
import zarr

from bood_tasks.artifacts.store import block_file
from bood_tasks.synthesis import shards as generation
from bood_tasks.synthesis.shards import (
    BATCH_ON_CPU,
    Batches,
    BlockWriter,
    batch_within,
    fitting_batch,
)


def pictures(rows):
    return (
        torch.from_numpy(np.asarray(rows)).to(torch.uint8)[:, None, None, None].expand(-1, 2, 2, 3)
    )


def array(tmp_path, count, block):
    return zarr.create_array(
        tmp_path / "x.zarr", shape=(count, 2, 2, 3), chunks=(1, 2, 2, 3), shards=(block, 2, 2, 3),
        dtype="uint8",
    )  # fmt: skip


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_every_row_comes_once_in_order_whatever_the_batch(size, pad):
    seen = []

    def decode(rows):
        seen.append(len(rows))
        return pictures(rows)

    parts = list(Batches(decode, size, pad=pad)(3, 20))
    assert torch.cat(parts)[:, 0, 0, 0].tolist() == list(range(3, 20))
    assert not pad or set(seen) == {size}


def test_memory_that_runs_out_halves_the_batch_and_loses_nothing():
    tried = []

    def decode(rows):
        tried.append(len(rows))
        if len(rows) > 3:
            raise torch.cuda.OutOfMemoryError("injected")
        return pictures(rows)

    batches = Batches(decode, 12, pad=False)
    assert torch.cat(list(batches(0, 8)))[:, 0, 0, 0].tolist() == list(range(8))
    assert tried == [8, 6, 3, 3, 2]
    assert (batches.size, batches.halvings) == (3, 2)


def test_not_even_one_image_is_refused_with_the_cures():
    def decode(rows):
        raise torch.cuda.OutOfMemoryError("injected")

    with pytest.raises(ValueError, match=r"run.image_batch: not even one image.*vae_slicing"):
        list(Batches(decode, 4, pad=False)(0, 4))


def test_batch_size_follows_from_two_small_ones():
    # 10 base + 5 an image: 85 % of 1,000 hold 168 images, but 64 are enough
    assert batch_within(1000, 20, 30) == 64
    assert batch_within(200, 20, 30) == 32  # (170 - 10) / 5
    assert batch_within(195, 20, 30) == 24  # 31 fit: the next multiple of eight below
    assert batch_within(40, 20, 30) == 4
    assert batch_within(1, 20, 30) == 1


def test_cpu_needs_no_probe():
    assert fitting_batch(lambda n: pytest.fail("probed"), torch.device("cpu")) == BATCH_ON_CPU


@pytest.mark.parametrize("sizes", [[10], [3, 3, 4], [1] * 10, [7, 3]])
def test_blocks_are_whole_and_marked_in_order(tmp_path, sizes):
    target, kept = array(tmp_path, 10, 4), []
    start = 0
    with BlockWriter(target, kept.append, 4, 0) as writer:
        for size in sizes:
            writer.put(pictures(range(start, start + size)))
            start += size
    assert target[:, 0, 0, 0].tolist() == list(range(10))
    assert kept == [block_file(target, number) for number in range(3)]
    assert all(path.is_file() for path in kept)


def test_an_interrupted_writer_has_marked_whole_blocks_only(tmp_path):
    target, kept = array(tmp_path, 10, 4), []

    def die():
        with BlockWriter(target, kept.append, 4, 0) as writer:
            writer.put(pictures(range(6)))
            writer.pool.submit(int).result()  # the thread is done with what came before
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        die()
    assert kept == [block_file(target, 0)]
    with BlockWriter(target, kept.append, 4, 4) as writer:
        writer.put(pictures(range(4, 10)))
    assert target[:, 0, 0, 0].tolist() == list(range(10))


def test_a_full_disk_comes_up_at_once_and_what_was_marked_stays(tmp_path, monkeypatch):
    target, kept = array(tmp_path, 40, 4), []
    write, puts = zarr.Array.__setitem__, []

    def full_after_one_block(self, rows, values):
        if rows.start >= 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, rows, values)

    def fill():
        with BlockWriter(target, kept.append, 4, 0) as writer:
            for start in range(0, 40, 4):
                writer.put(pictures(range(start, start + 4)))
                puts.append(start)

    monkeypatch.setattr(zarr.Array, "__setitem__", full_after_one_block)
    with pytest.raises(OSError, match="No space left") as caught:
        fill()
    assert caught.value.errno == errno.ENOSPC
    assert len(puts) <= 2 + generation.BLOCKS_WAITING
    assert kept == [block_file(target, 0)]


def test_a_slow_disk_does_not_fill_the_memory(tmp_path, monkeypatch):
    gate, held = threading.Event(), []
    monkeypatch.setattr(zarr.Array, "__setitem__", lambda *_: gate.wait(5))
    with BlockWriter(array(tmp_path, 20, 1), lambda path: None, 1, 0) as writer:
        threading.Timer(0.2, gate.set).start()
        for row in range(20):
            writer.put(pictures([row]))
            held.append(len(writer.futures))
    assert max(held) <= generation.BLOCKS_WAITING + 1
