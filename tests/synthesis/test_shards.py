"""Batches that fit and blocks that are written."""

import errno
import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
import zarr

from bood_tasks.artifacts.store import block_file
from bood_tasks.jobs import compiling
from bood_tasks.jobs.compiling import Cost
from bood_tasks.jobs.job import Job
from bood_tasks.synthesis import shards as generation
from bood_tasks.synthesis.shards import (
    BATCH_ON_CPU,
    Batches,
    BlockWriter,
    Speed,
    batch_within,
    fitting_batch,
    rows_after,
)
from bood_tasks.training import pace


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


def test_a_gpu_s_batch_is_as_large_as_two_small_ones_say(monkeypatch):
    """With a stand-in for its memory: 10 MB of weights, 5 MB a picture, 2 MB that stay reserved."""
    held, calls = {"peak": 0}, []
    stand_in = {
        "empty_cache": lambda: calls.append("emptied"),
        "reset_peak_memory_stats": lambda device: held.update(peak=10),
        "synchronize": lambda device: calls.append("waited"),
        "max_memory_allocated": lambda device: held["peak"] if calls[-1] == "waited" else 0,
        "mem_get_info": lambda device: (198, 1000),
        "memory_reserved": lambda device: 2,
    }
    for name, function in stand_in.items():
        monkeypatch.setattr(torch.cuda, name, function)
    assert fitting_batch(lambda n: held.update(peak=10 + 5 * n), torch.device("cuda")) == 32


def test_a_gpu_s_rows_are_read_once_their_copy_has_ended(tmp_path, monkeypatch):
    """With stand-ins: a pinned block that holds nonsense until its event was waited for."""
    late = []

    class StandIn(torch.Tensor):
        @staticmethod
        def __new__(cls, values):
            made = torch.Tensor._make_wrapper_subclass(
                cls, values.shape, dtype=torch.uint8, device=cls.place
            )
            made.values = values
            return made

        def __torch_dispatch__(self, *given):
            raise AssertionError("nothing else is done with it")

    class OnDevice(StandIn):
        place = "cuda"

    class Pinned(StandIn):
        place = "cpu"

        def copy_(self, rows, *, non_blocking):
            assert non_blocking
            late.append(lambda: self.values.__setitem__(slice(None), rows.values))
            return self

        def numpy(self):
            return self.values

    class Event:
        def record(self):
            self.copy = late.pop()

        def synchronize(self):
            self.copy()

    def empty(shape, *, dtype, pin_memory):
        assert pin_memory
        return Pinned(np.full(shape, 255, np.uint8))

    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    target = array(tmp_path, 10, 4)
    values = np.arange(10, dtype=np.uint8).reshape(10, *[1] * (target.ndim - 1))
    values = np.broadcast_to(values, target.shape)
    with BlockWriter(target, lambda path: None, 4, 0) as writer:
        for start in range(0, 10, 3):
            writer.put(OnDevice(values[start : start + 3]))
    np.testing.assert_array_equal(target[:], values)


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


class Drawing(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))


def test_batches_change_once_to_a_fixed_shape_and_stay_in_order(tmp_path, monkeypatch):
    """As on a GPU whose costs are known after two batches."""
    monkeypatch.setenv("BOOD_RUN", json.dumps({"compile": "auto"}))
    monkeypatch.setattr(compiling, "DEVICES", ("cpu",))
    monkeypatch.setattr(compiling, "COMPILED", tmp_path)
    monkeypatch.setattr(compiling, "LEAST_STEPS", 3)
    monkeypatch.setattr(pace, "priors", lambda *args, **more: {"whole": Cost(0, 0.01)})
    turned, seen = [], []
    monkeypatch.setattr(generation, "run_as", lambda way, networks: turned.append(way))
    speed = Speed("images", [Drawing()], each=10, of="")

    def decode(rows):
        seen.append((len(rows), len(turned)))
        return pictures(rows)

    for count in (7, 5):  # two shards of one job
        speed.later = 0
        batches = Batches(decode, 3, pad=False, speed=speed)
        speed.begin(rows=count, size=3)
        made = torch.cat(list(batches(0, count)))[:, 0, 0, 0]
        assert made.tolist() == list(range(count))
    assert turned == ["whole"]
    assert seen == [(3, 0), (3, 0), (3, 1), (3, 1), (3, 1)]


def test_the_shards_that_follow_in_a_job_count_as_work(monkeypatch):
    monkeypatch.setattr(pace, "priors", lambda *args, **more: {"whole": Cost(10, 0.5)})
    speed = Speed("images", [Drawing()], each=10, of="")
    lefts = []
    monkeypatch.setattr(speed.pace, "begin", lambda left: lefts.append(left) or False)
    speed.later = 100
    speed.begin(rows=28, size=64)
    assert lefts == [20]


def test_the_rows_after_a_shard_are_those_of_its_pack(tmp_path):
    job = Job({"start": 0, "stop": 10}, {}, tmp_path, {}, "")
    shards = tuple(replace(job, settings={"start": n, "stop": n + 10}) for n in (10, 20))
    assert rows_after(replace(job, then=shards)) == 20
    assert rows_after(job) == 0
