"""Which rows a step shows: whole passes, shares kept, the same wherever a run is cut."""

from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bood_tasks.networks.resnet import ResNet
from bood_tasks.networks.weights import initialised
from bood_tasks.training import fit as training
from bood_tasks.training.fit import fit
from bood_tasks.training.loading import InMemory
from bood_tasks.training.mixing import Mixture, rows_at, shared_out
from bood_tasks.training.recipe import Recipe, optimiser

EQUAL = Recipe(3, 8, 0.05, 0, crop_padding=0, flip=False, clip_norm=1)
SHUFFLED = Recipe(3, 8, 0.05, 0, crop_padding=0, flip=False, clip_norm=1, mixing="shuffled")


def mixture(count, totals, shares, recipe):
    return Mixture(count, totals, shares, recipe, seed=0, stage="detector")


def all_steps(order, epochs=3):
    return list(order.steps(0, order.per_epoch * epochs))


@pytest.mark.parametrize(
    ("count", "shares", "expected"),
    [
        (8, [1], [8]),
        (8, [0.5, 0.25, 0.25], [4, 2, 2]),
        (10, [1, 1, 1], [4, 3, 3]),
        (7, [0.3, 0.7], [2, 5]),
        (3, [0.1, 0.9], [0, 3]),
        (1000, [0.1] * 10, [100] * 10),  # .1 is not ten to the minus one
    ],
)
def test_counts_are_shared_out_by_the_largest_remainder(count, shares, expected):
    assert shared_out(count, shares) == expected


def test_one_source_in_equal_batches_is_one_endless_sequence_of_passes():
    order = mixture(21, [5], [1.0], EQUAL)
    steps = all_steps(order)
    assert [len(rows) for rows, _ in steps] == [len(also) for _, also in steps] == [7] * 9
    for step, (_, also) in enumerate(steps):  # a full batch's worth of places a step
        expected = rows_at(np.arange(8 * step, 8 * step + 7), 5, 0, "detector")
        assert also.tolist() == expected.tolist()


def test_equal_batches_show_each_source_its_share_whatever_its_size():
    steps = all_steps(mixture(80, [400, 3, 10], [0.5, 0.25, 0.25], EQUAL))
    assert {tuple(map(len, step)) for step in steps} == {(8, 4, 2, 2)}
    small = Counter(np.concatenate([step[2] for step in steps]).tolist())
    assert max(small.values()) - min(small.values()) <= 1  # whole passes over three rows


def test_shuffled_epochs_show_every_id_row_once_and_as_many_outliers_as_there_are():
    order = mixture(20, [30], [1.0], SHUFFLED)
    assert order.per_epoch == 7  # 50 rows in batches of at most 8
    steps = all_steps(order)
    for epoch in range(3):
        part = steps[7 * epoch : 7 * epoch + 7]
        assert sorted(np.concatenate([rows for rows, _ in part])) == list(range(20))
        assert sorted(np.concatenate([also for _, also in part])) == list(range(30))
        assert len({len(rows) for rows, _ in part}) > 1  # whatever falls into a batch
        assert {len(rows) + len(also) for rows, also in part} <= {7, 8}
    first, second = (np.concatenate([rows for rows, _ in steps[s : s + 7]]) for s in (0, 7))
    assert first.tolist() != second.tolist()


def test_shuffled_sources_keep_their_shares_of_the_outliers():
    steps = all_steps(mixture(20, [30, 10], [0.25, 0.75], SHUFFLED))
    assert [sum(len(step[k]) for step in steps) for k in (1, 2)] == [30, 90]  # of 40 an epoch
    often = Counter(np.concatenate([step[2] for step in steps]).tolist())
    assert set(often.values()) == {9}


@pytest.mark.parametrize("recipe", [EQUAL, SHUFFLED])
@pytest.mark.parametrize("cut", [1, 3, 5, 8])
def test_a_run_cut_anywhere_goes_on_with_the_same_rows(recipe, cut):
    order = mixture(20, [30, 4], [0.5, 0.5], recipe)
    whole = all_steps(order)
    rest = list(order.steps(cut, len(whole)))
    assert len(rest) == len(whole) - cut
    for step, again in zip(whole[cut:], rest, strict=True):
        assert [rows.tolist() for rows in step] == [rows.tolist() for rows in again]


@pytest.mark.parametrize("recipe", [EQUAL, SHUFFLED])
def test_a_share_without_a_row_is_refused(recipe):
    with pytest.raises(ValueError, match=r"share 0\.001 of the outliers has none of 8; raise its"):
        mixture(20, [4, 4], [0.999, 0.001], recipe)


def test_shuffled_training_survives_a_kill_and_batches_of_one_kind(tmp_path, monkeypatch):
    """Three outliers in batches of two: most batches hold no outlier."""
    monkeypatch.setattr(training, "STEPS_PER_POINT", 1)
    monkeypatch.setattr(training, "STEPS_PER_CHECKPOINT", 2)
    monkeypatch.setattr(training, "CHECKPOINT_SHARE", 1e9)
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (9, 3, 8, 8), generator=rng, dtype=torch.uint8)
    recipe = Recipe(2, 2, 0.05, 0, crop_padding=0, flip=False, clip_norm=1, mixing="shuffled")
    calls, seen = 0, []

    def run(name, dies_at=None):
        model = initialised(lambda: ResNet(depth=18, width=2, stem="strided", outputs=2), 0)

        def loss(net, x, y, step):
            nonlocal calls
            calls += 1
            if calls == dies_at:
                raise KeyboardInterrupt
            seen.append((len(x), len(y)))
            logits = net(x)
            ce = F.cross_entropy(logits[: len(y)], y, reduction="sum")
            return {"loss": (ce + logits[len(y) :].square().sum()) / len(x)}

        fit(
            model, loss, InMemory(images), torch.arange(9) % 2, recipe, stage="detector", seed=0,
            checkpoint=tmp_path / name, outliers=[(InMemory(images[:3]), 1.0)],
            optimisers=[optimiser(model.parameters(), recipe)], snapshots=tmp_path,
        )  # fmt: skip
        return model.state_dict()

    whole = run("a")
    kept = (tmp_path / "01.safetensors").read_bytes(), (tmp_path / "02.safetensors").read_bytes()
    assert any(count == ids for count, ids in seen)
    calls = 0
    with pytest.raises(KeyboardInterrupt):
        run("b", dies_at=8)
    (tmp_path / "02.safetensors").unlink()
    resumed = run("b")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    again = (tmp_path / "01.safetensors").read_bytes(), (tmp_path / "02.safetensors").read_bytes()
    assert kept == again


def test_plain_sgd_and_a_constant_rate(tmp_path):
    """Three steps by hand: w - lr (g + weight decay w), no momentum, no cosine."""
    recipe = Recipe(
        3, 1, 0.1, 0.5, crop_padding=0, flip=False, clip_norm=100, momentum=0.0, schedule="constant"
    )
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(net.weight, 2.0)

    def loss(net, x, y, step):
        return {"loss": 3 * net.weight.sum()}

    rows = InMemory(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    curve, _ = fit(
        net, loss, rows, torch.zeros(1, dtype=torch.long), recipe, stage="detector", seed=0,
        checkpoint=tmp_path / "c", optimisers=[optimiser(net.parameters(), recipe)],
    )  # fmt: skip
    weight = 2.0
    for _ in range(3):
        weight -= 0.1 * (3 + 0.5 * weight)
    assert net.weight.item() == pytest.approx(weight, rel=1e-6)
    assert curve[-1]["lr"] == 0.1


def test_adam_is_torchs_own():
    recipe = Recipe(1, 1, 0.1, 0.0, 0, False, 1, optimiser="adam")
    mine, theirs = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    pair = optimiser([mine], recipe), torch.optim.Adam([theirs], lr=0.1)
    for _ in range(3):
        for weight, each in zip((mine, theirs), pair, strict=True):
            each.zero_grad()
            weight.square().sum().backward()
            each.step()
    torch.testing.assert_close(mine, theirs)


def test_what_is_known_of_outliers_comes_with_their_rows(tmp_path):
    """Each outlier's pixels and what is known of it hold its number: they never part."""
    net = torch.nn.Linear(1, 1)
    numbers = [np.arange(5), 100 + np.arange(9)]
    seen = []

    def loss(net, x, y, step):
        assert len(step.known) == len(x) - len(y)
        pixels = 255 * (x[len(y) :, 0, 0, 0] * 0.25 + 0.5)  # as_input undone
        torch.testing.assert_close(pixels, step.known[:, 0], atol=1e-3, rtol=0)
        seen.extend(step.known[:, 0].tolist())
        return {"loss": net.weight.square().sum()}

    def pictures(own):
        return torch.from_numpy(own).byte()[:, None, None, None].expand(-1, 3, 8, 8).contiguous()

    fit(
        net, loss, InMemory(torch.zeros(16, 3, 8, 8, dtype=torch.uint8)),
        torch.zeros(16, dtype=torch.long), EQUAL, stage="detector", seed=0,
        checkpoint=tmp_path / "c",
        outliers=[(InMemory(pictures(own)), 0.5) for own in numbers],
        known=[torch.from_numpy(own).float()[:, None] for own in numbers],
        optimisers=[optimiser(net.parameters(), EQUAL)],
    )  # fmt: skip
    assert set(seen) == {*numbers[0], *numbers[1]}
