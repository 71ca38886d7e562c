import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import zarr

from bood_tasks.jobs import compiling
from bood_tasks.jobs.compiling import Cost
from bood_tasks.networks import compiled
from bood_tasks.networks.resnet import ResNet
from bood_tasks.networks.weights import initialised
from bood_tasks.training import fit as training
from bood_tasks.training import loading, pace
from bood_tasks.training import predict as predicting
from bood_tasks.training.checkpoint import load_checkpoint, save_checkpoint
from bood_tasks.training.curve import write_curve
from bood_tasks.training.fit import augment, fit
from bood_tasks.training.loading import FromDisk, InMemory, load_where_it_fits
from bood_tasks.training.mixing import id_rows, rows_at
from bood_tasks.training.predict import predict
from bood_tasks.training.recipe import (
    Recipe,
    apart,
    clip_gradients,
    cosine_lr,
    optimiser,
    require_finite,
)

RECIPE = Recipe(
    epochs=2,
    batch_size=8,
    lr=0.05,
    weight_decay=5e-4,
    crop_padding=2,
    flip=True,
    clip_norm=1.0,
)


def tiny():
    return initialised(lambda: ResNet(depth=18, width=2, stem="strided", outputs=2), 0)


def cross_entropy(net, x, y, step):
    return {"loss": F.cross_entropy(net(x), y)}


def papers(model, recipe):
    return [optimiser(model.parameters(), recipe)]


def pictures(count=21, side=8):
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, side, side), generator=rng, dtype=torch.uint8)
    return images, torch.arange(count) % 2


def run(checkpoint, loss=cross_entropy, recipe=RECIPE, **more):
    model = tiny()
    images, labels = pictures()
    rows = more.pop("rows", InMemory(images))
    curve, _ = fit(
        model, loss, rows, labels, recipe, stage="encoder", seed=0, checkpoint=checkpoint,
        **{"optimisers": papers(model, recipe)} | more,
    )  # fmt: skip
    return model, curve


class Classifier(torch.nn.Module):
    """A method's classifier beside a part of its own."""

    def __init__(self):
        super().__init__()
        self.network = tiny()
        self.own = torch.nn.BatchNorm1d(2)

    def forward(self, x):
        return self.own(self.network(x))


@pytest.mark.parametrize("kept", [False, True])
def test_a_classifier_s_statistics_are_kept_while_its_weights_and_all_else_move(kept, tmp_path):
    model = initialised(Classifier, 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recipe = replace(RECIPE, batch_norm="kept" if kept else "moving")
    images, labels = pictures()
    fit(
        model, cross_entropy, InMemory(images), labels, recipe, stage="detector", seed=0,
        checkpoint=tmp_path / "c", optimisers=papers(model, recipe),
    )  # fmt: skip
    moved = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    statistics = {name for name in before if "running" in name}
    assert moved & statistics == ({name for name in statistics if name.startswith("own")}
                                  if kept else statistics)  # fmt: skip
    assert {name for name, _ in model.named_parameters()} <= moved
    assert not model.training


def stored(path):
    """The pictures as a zarr array of small chunks, and as an array in memory."""
    images = pictures()[0].permute(0, 2, 3, 1).numpy()
    array = zarr.create_array(path, shape=images.shape, chunks=(2, 8, 8, 3), dtype="uint8")
    array[...] = images
    return array, images


def same_weights(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_cosine_lr_goes_from_lr_to_the_last():
    assert cosine_lr(0, 100, 0.1) == 0.1
    assert cosine_lr(100, 100, 0.1) == pytest.approx(1e-6)
    assert cosine_lr(50, 100, 0.1) == pytest.approx((0.1 + 1e-6) / 2)


def test_outlier_rows_are_whole_passes_wherever_they_are_cut():
    whole = rows_at(np.arange(15), 5, 0, "detector")
    assert all(sorted(whole[k : k + 5]) == [0, 1, 2, 3, 4] for k in (0, 5, 10))
    parts = [rows_at(np.arange(start, start + 4), 5, 0, "detector") for start in (0, 4, 8)]
    assert np.concatenate(parts).tolist() == whole[:12].tolist()


HOW = {"rounds": 3, "beta": 3.0, "severity": 3.0}


def test_a_mixing_set_reaches_the_id_rows_alone(tmp_path):
    """The last rows of each step are outliers: as they were but for a place and a mirror."""
    images, others = torch.full((21, 3, 8, 8), 90), torch.full((13, 3, 8, 8), 200)
    mixing = torch.arange(5)[:, None, None, None].expand(5, 3, 8, 8) * 50
    images, others, mixing = (each.to(torch.uint8) for each in (images, others, mixing))
    shown = []

    def look(net, x, y, step):
        shown.append((x[: len(y)].clone(), x[len(y) :].clone()))
        return cross_entropy(net, x[: len(y)], y, step)

    recipe = replace(RECIPE, crop_padding=0)
    run(
        tmp_path / "a", look, recipe, rows=InMemory(images), mixing=(InMemory(mixing), HOW),
        outliers=[(InMemory(others), 1.0)],
    )  # fmt: skip
    ids, rest = (torch.cat(part) for part in zip(*shown, strict=True))
    assert rest.unique().numel() == 1
    assert ids.unique().numel() > 20


def test_a_killed_run_with_a_mixing_set_ends_with_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "STEPS_PER_POINT", 1)
    monkeypatch.setattr(training, "STEPS_PER_CHECKPOINT", 1)
    monkeypatch.setattr(training, "CHECKPOINT_SHARE", 1e9)
    mixing = (InMemory(pictures(5)[0].flip(3)), HOW)
    whole, _ = run(tmp_path / "a", mixing=mixing)

    def dies(net, x, y, step):
        if step.number == 3:
            raise KeyboardInterrupt
        return cross_entropy(net, x, y, step)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", dies, mixing=mixing)
    again, _ = run(tmp_path / "b", mixing=mixing)
    assert same_weights(whole, again)
    assert not same_weights(whole, run(tmp_path / "c")[0])


def test_augment_moves_by_at_most_the_padding_and_keeps_every_pixel_value():
    image = torch.zeros(1, 3, 9, 9, dtype=torch.uint8)
    image[:, :, 4, 4] = 200
    many = image.expand(400, -1, -1, -1)
    out = augment(many, RECIPE, torch.Generator().manual_seed(0))
    row, column = (out[:, 0] == 200).nonzero()[:, 1:].T
    assert len(row) == 400
    assert set(row.tolist()) == set(column.tolist()) == {2, 3, 4, 5, 6}


def test_augment_mirrors_half_of_the_images():
    image = torch.zeros(1, 3, 3, 3, dtype=torch.uint8)
    image[..., 0] = 1
    still = Recipe(1, 1, 0.1, 0, crop_padding=0, flip=True, clip_norm=1)
    out = augment(image.expand(1000, -1, -1, -1), still, torch.Generator().manual_seed(0))
    assert 400 < (out[:, 0, 0, 2] == 1).sum() < 600


def test_every_row_is_used_once_an_epoch(tmp_path):
    seen = []

    def loss(net, x, y, step):
        seen.append(len(y))
        return cross_entropy(net, x, y, step)

    run(tmp_path / "c", loss)
    assert seen == [7, 7, 7] * 2  # 21 rows, batches of at most 8


def test_larger_outliers_are_cropped_as_they_are_to_the_size_of_the_id_pictures():
    """DreamOOD's RandomCrop(size, padding) of an outlier that was never resized."""
    own, others = pictures(count=3)[0], pictures(count=4, side=24)[0]
    recipe = replace(RECIPE, flip=False)
    x = training.joined([own, others], recipe, torch.Generator().manual_seed(1))
    assert x.shape == (7, 3, 8, 8)
    rng = torch.Generator().manual_seed(1)
    expected = [augment(own, recipe, rng), augment(others, replace(recipe, crop=8), rng)]
    assert torch.equal(x, torch.cat(expected))
    padded = F.pad(others, (2, 2, 2, 2))
    for part, whole in zip(x[3:], padded, strict=True):
        windows = whole.unfold(1, 8, 1).unfold(2, 8, 1)  # 3 y x 8 8
        assert (windows == part[:, None, None]).all((0, 3, 4)).sum() >= 1


def test_outliers_join_the_batch_behind_the_id_rows(tmp_path):
    shapes = []

    def loss(net, x, y, step):
        shapes.append((len(x), len(y)))
        return cross_entropy(lambda z: net(z)[: len(y)], x, y, step)

    run(tmp_path / "c", loss, outliers=[(InMemory(pictures(5)[0]), 1.0)])
    assert set(shapes) == {(14, 7)}


def test_contrastive_training_shows_two_views_of_each_id_row_and_one_of_each_outlier(tmp_path):
    shown = []

    def loss(net, x, y, step):
        shown.append((x.clone(), y.clone()))
        return cross_entropy(lambda z: net(z)[: len(y)], x, y, step)

    recipe = replace(RECIPE, augment="contrastive", epochs=1)
    run(tmp_path / "c", loss, recipe=recipe, outliers=[(InMemory(pictures(5)[0]), 1.0)])
    for x, y in shown:
        assert (len(x), len(y)) == (21, 14)
        assert torch.equal(y[:7], y[7:])
        assert not (x[:7] == x[7:14]).flatten(1).all(1).any()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_run_ends_with_the_same_weights(tmp_path, monkeypatch, precision):
    monkeypatch.setattr(training, "STEPS_PER_POINT", 2)
    monkeypatch.setattr(training, "CHECKPOINT_SHARE", 1e9)
    recipe = replace(RECIPE, precision=precision)
    large = InMemory(pictures(side=16)[0])  # bf16 overflows behind a batch norm over single pixels
    whole, curve = run(tmp_path / "a", recipe=recipe, rows=large)
    monkeypatch.setattr(training, "STEPS_PER_CHECKPOINT", 2)
    calls = 0

    def dies(net, x, y, step):
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return cross_entropy(net, x, y, step)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", dies, recipe, rows=large)
    calls = 6
    resumed, again = run(tmp_path / "b", dies, recipe, rows=large)
    assert calls == 8  # steps 5 and 6 of 6: one lost step is done again, four are not
    assert same_weights(whole, resumed)
    assert curve == again


def test_bf16_changes_the_passes_and_keeps_float32_weights(tmp_path):
    seen = []

    def loss(net, x, y, step):
        logits = net(x)
        seen.append(logits.dtype)
        return {"loss": F.cross_entropy(logits, y)}

    large = InMemory(pictures(side=16)[0])
    model, _ = run(tmp_path / "a", loss, replace(RECIPE, precision="bf16"), rows=large)
    assert set(seen) == {torch.bfloat16}
    assert {w.dtype for w in model.parameters()} == {torch.float32}
    plain, _ = run(tmp_path / "b", rows=large)
    assert not same_weights(model, plain)


def test_streamed_rows_give_the_same_weights_as_held_ones(tmp_path):
    array, _ = stored(tmp_path / "x.zarr")

    def loss(net, x, y, step):
        return cross_entropy(lambda z: net(z)[: len(y)], x, y, step)

    outliers = InMemory(pictures(5)[0])
    held, _ = run(tmp_path / "a", loss, outliers=[(outliers, 1.0)])
    streamed, _ = run(tmp_path / "b", loss, rows=FromDisk(array), outliers=[(outliers, 1.0)])
    assert same_weights(held, streamed)


@pytest.mark.parametrize("side", [8, 12])  # outliers of another size are cropped on their own
def test_whole_pictures_are_cropped_in_their_own_shape_wherever_they_lie(tmp_path, side):
    array, _ = stored(tmp_path / "x.zarr")
    crops = replace(RECIPE, augment="resized_crop", crop=6, flip=False)
    outliers = [(InMemory(pictures(5, side)[0]), 1.0)]

    def loss(net, x, y, step):
        return cross_entropy(lambda z: net(z)[: len(y)], x, y, step)

    more = {"recipe": crops, "outliers": outliers, "aspects": torch.linspace(0.4, 3, 21)}
    held, _ = run(tmp_path / "a", loss, **more)
    streamed, _ = run(tmp_path / "b", loss, rows=FromDisk(array), **more)
    assert same_weights(held, streamed)
    others, _ = run(tmp_path / "c", loss, **more | {"aspects": torch.ones(21)})
    assert not same_weights(held, others)


def test_aspects_go_with_their_rows_and_outliers_are_square(tmp_path, monkeypatch):
    seen = set()

    def cropped(images, crop, rng, *, aspects):
        seen.update(zip(images[:, 0, 0, 0].tolist(), aspects.tolist(), strict=True))
        return images[:, :, :crop, :crop]

    def loss(net, x, y, step):
        return cross_entropy(lambda z: net(z)[: len(y)], x, y, step)

    monkeypatch.setattr(training, "resized_crop", cropped)
    rows = torch.arange(21, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 8, 8)
    run(
        tmp_path / "c", loss, replace(RECIPE, augment="resized_crop", crop=6), rows=InMemory(rows),
        aspects=2.0 + torch.arange(21), outliers=[(InMemory(200 + rows[:5]), 1.0)],
    )  # fmt: skip
    assert seen == {(k, 2.0 + k) for k in range(21)} | {(200 + k, 1.0) for k in range(5)}


def test_pictures_that_fit_are_held_and_others_stay_on_disk(tmp_path, monkeypatch):
    array, images = stored(tmp_path / "x.zarr")
    assert torch.equal(
        load_where_it_fits(array, "cpu").images, load_where_it_fits(images, "cpu").images
    )
    monkeypatch.setattr(loading, "free_bytes", lambda device: 2 * images.size - 2)
    assert isinstance(load_where_it_fits(array, "cpu"), FromDisk)
    assert isinstance(load_where_it_fits(images, "cpu"), InMemory)  # it is in memory already


def test_orders_go_on_from_any_step():
    whole = list(id_rows(0, 9, 7, 3, 0, "encoder"))
    assert sorted(np.concatenate(whole[:3])) == sorted(np.concatenate(whole[3:6])) == list(range(7))
    for first in range(9):
        part = list(id_rows(first, 9, 7, 3, 0, "encoder"))
        assert all(np.array_equal(a, b) for a, b in zip(part, whole[first:], strict=True))


def test_a_batch_beyond_the_gpu_is_named_not_halved(tmp_path):
    def loss(net, x, y, step):
        raise torch.cuda.OutOfMemoryError("injected")

    with pytest.raises(ValueError, match=r"encoder.batch_size must fit .* got 8"):
        run(tmp_path / "c", loss)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own
def test_compiled_step_gives_the_same_curve(tmp_path, monkeypatch):
    def loss(net, x, y, step):
        return {"loss": F.cross_entropy(net(x), y)}

    def line():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))

    curves = []
    images, labels = pictures()
    for wanted in (False, True):
        monkeypatch.setenv("BOOD_RUN", json.dumps({"compile": wanted}))
        model = line()
        curve, rate = fit(
            model, loss, InMemory(images), labels, RECIPE, stage="encoder", seed=0,
            checkpoint=tmp_path / "c", optimisers=papers(model, RECIPE),
        )  # fmt: skip
        curves.append([point["loss"] for point in curve])
        assert rate > 0
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


class Residual(torch.nn.Module):
    """A block that no type checker wraps, which the compiler would have to read as well."""

    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(4, 4, 3, 1, 1)

    def forward(self, x):
        return x + self.convolution(x).relu()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, both
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_run_that_is_long_enough_compiles_its_blocks_after_some_plain_steps(
    tmp_path, monkeypatch
):
    """As `auto` does on a GPU; torch's `eager` backend compiles nothing and so costs nothing."""
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    monkeypatch.setattr(compiling, "DEVICES", ("cpu",))
    monkeypatch.setattr(compiling, "LEAST_STEPS", 20)
    monkeypatch.setattr(compiling, "LEAST_SAVED", -9.0)  # whatever this machine measures
    monkeypatch.setattr(compiling, "COMPILED", tmp_path / ".compiled")
    monkeypatch.setattr(pace, "priors", lambda *args, **more: {"blocks": Cost(0, 0.1)})
    laps, real = [], compiled.compile_blocks
    monkeypatch.setattr(compiled, "compile_blocks", lambda net: (laps.append(1), real(net)))
    images, labels = pictures()

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = torch.nn.Conv2d(3, 4, 3, 2, 1)
            self.body = torch.nn.Sequential(*[Residual() for _ in range(4)])

        def forward(self, x):
            assert not any(block._compiled_call_impl for block in self.body) or laps
            return self.body(self.stem(x)).mean((2, 3))

    def loss(net, x, y, step):
        return {"loss": F.cross_entropy(net(x), y)}

    curves, recipe = [], replace(RECIPE, epochs=15)
    for wanted in (False, "auto", "auto"):
        monkeypatch.setenv("BOOD_RUN", json.dumps({"compile": wanted}))
        torch.manual_seed(0)
        model = Net()
        curve, _ = fit(
            model, loss, InMemory(images), labels, recipe, stage="encoder", seed=0,
            checkpoint=tmp_path / "c", optimisers=papers(model, recipe),
        )  # fmt: skip
        curves.append([point["loss"] for point in curve])
        assert not any(block._compiled_call_impl for block in model.body)  # undone
    assert len(curves[0]) > 3
    assert curves[0] == curves[1] == curves[2]
    assert len(laps) == 2
    (record,) = (tmp_path / ".compiled" / "costs").glob("*.json")
    assert set(json.loads(record.read_text())) >= {"plain", "blocks", "of"}


def test_batches_of_the_host_are_made_ahead_and_keep_their_order():
    made, seen = [], []

    def make(order):
        made.append(order)
        return order * 10

    for found in loading.ahead(make, range(8)):
        seen.append(found)
        assert len(made) <= len(seen) + loading.BATCHES_AHEAD
    assert seen == [10 * k for k in range(8)]
    assert made == list(range(8))


def test_an_error_of_a_batch_made_ahead_comes_up():
    def make(order):
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"):
        list(loading.ahead(make, range(8)))


def test_texts_of_a_batch_are_as_wide_as_its_longest():
    tokens = torch.tensor([[3, 4, 0, 0], [5, 0, 0, 0], [6, 7, 8, 0]])
    held = InMemory(tokens)
    orders = [np.array([1]), np.array([0, 1]), np.array([2, 1]), np.array([], np.int64)]
    shapes = [tuple(rows.shape) for rows in held.batches(orders, torch.device("cpu"))]
    assert shapes == [(1, 1), (2, 2), (2, 3), (0, 0)]


def test_predict_reads_zarr_takes_the_centre_and_halves_what_does_not_fit(tmp_path, monkeypatch):
    array, images = stored(tmp_path / "x.zarr")
    monkeypatch.setattr(predicting, "ROWS_READ_AHEAD", 6)
    sizes = []

    def means(x):
        if len(x) > 2:
            raise torch.cuda.OutOfMemoryError("injected")
        sizes.append(len(x))
        return x.mean((1, 2, 3))

    found = predict(means, array, batch_size=5, device="cpu", crop=4)
    expected = (images[:, 2:6, 2:6].mean((1, 2, 3)) / 255 - 0.5) / 0.25
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert set(sizes) == {2, 1}

    def never(x):
        raise torch.cuda.OutOfMemoryError("injected")

    with pytest.raises(ValueError, match="with one picture"):
        predict(never, array, batch_size=4, device="cpu")


def test_seed_changes_the_order_and_nothing_global_does(tmp_path):
    first, _ = run(tmp_path / "a")
    torch.manual_seed(99)
    np.random.seed(99)
    second, _ = run(tmp_path / "b")
    assert same_weights(first, second)


def test_diverging_loss_is_refused_with_the_learning_rate(tmp_path):
    def loss(net, x, y, step):
        return {"loss": cross_entropy(net, x, y, step)["loss"] * math.inf}

    with pytest.raises(ValueError, match=r"encoder.lr must .* at step 0; lower it \(now 0.05\)"):
        run(tmp_path / "c", loss)


def test_the_step_that_diverged_and_every_learning_rate_are_named():
    lrs = {"gan.lr_g": 1e-4, "gan.lr_d": 4e-4}
    require_finite([1.0, -2.0], 7, lrs)
    message = (
        r"gan.lr_g and gan.lr_d must .* got nan at step 8; lower them \(now 0.0001 and 0.0004\)"
    )
    with pytest.raises(ValueError, match=message):
        require_finite([1.0, math.nan, math.inf], 7, lrs)


def test_first_step_is_nesterov_sgd_by_hand(tmp_path):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    weight = model[1].weight.detach().clone()
    images = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    recipe = Recipe(1, 1, 0.1, weight_decay=0.01, crop_padding=0, flip=False, clip_norm=100)

    def loss(net, x, y, step):
        return {"loss": net(x)[:, 0].sum()}

    labels = torch.zeros(1, dtype=torch.long)
    fit(
        model, loss, InMemory(images), labels, recipe, stage="encoder", seed=0,
        checkpoint=tmp_path / "c", optimisers=papers(model, recipe),
    )  # fmt: skip
    gradient = torch.zeros(2, 12)
    gradient[0] = 2.0  # network input of pixel 255
    gradient += 0.01 * weight
    torch.testing.assert_close(model[1].weight.detach(), weight - 0.1 * (gradient * 1.9))


def stretched(groups, *, clip_norm):
    """The gradients of two parameters, 3 and 4 before, after they are clipped."""
    weights = [item for group in groups for item in group["params"]]
    for weight, size in zip(weights, (3.0, 4.0), strict=True):
        weight.grad = torch.tensor([size])
    clip_gradients(torch.optim.SGD(groups, lr=1), clip_norm)
    return [weight.grad.item() for weight in weights]


def two():
    return [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]


def test_gradients_are_clipped_together_apart_or_not_at_all():
    a, b = two()
    assert stretched([{"params": [a, b]}], clip_norm=1) == pytest.approx([0.6, 0.8], rel=1e-5)
    assert stretched([{"params": [a, b]}], clip_norm=None) == [3, 4]
    groups = [{"params": [a]}, {"params": [b], "clip_norm": 0.5}]
    assert stretched(groups, clip_norm=None) == pytest.approx([3, 0.5], rel=1e-5)
    assert stretched(groups, clip_norm=1) == pytest.approx([1, 0.5], rel=1e-5)


def test_groups_of_a_recipe_that_does_not_clip_step_by_the_whole_gradient(tmp_path):
    """Two pictures of pixel 255: the gradient has the length 2 sqrt(12) > 1."""
    steps = {}
    for clip_norm in (None, 1.0):
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 1, bias=False))
        before = model[1].weight.detach().clone()
        recipe = Recipe(1, 2, 0.1, 0, 0, False, clip_norm, momentum=0.0)
        fit(
            model, lambda net, x, y, step: {"loss": net(x).mean()},
            InMemory(torch.full((2, 3, 2, 2), 255, dtype=torch.uint8)), torch.zeros(2).long(),
            recipe, stage="encoder", seed=0, checkpoint=tmp_path / "c",
            optimisers=papers(model, recipe),
        )  # fmt: skip
        steps[clip_norm] = (model[1].weight.detach() - before).norm().item()
    assert steps == pytest.approx({None: 0.2 * math.sqrt(12), 1.0: 0.1}, rel=1e-4)


def test_parameters_apart_may_get_their_first_gradient_later():
    """Fused optimisers, a GPU's, refuse to start some momenta of a group later than others."""
    model = torch.nn.ParameterDict(dict(zip("ab", two(), strict=True)))
    groups = apart(model, [model["b"]], lr=0.5)
    assert [len(group["params"]) for group in groups] == [1, 1]
    stepped = torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True, fused=True)
    for late in (False, True):
        stepped.zero_grad()
        (model["a"] + late * model["b"] if late else model["a"]).sum().backward()
        stepped.step()
    assert model["b"].item() == pytest.approx(-0.5 * 1.9)


@pytest.mark.parametrize(("counts_there", "place"), [(True, "meta"), (False, "cpu")])
def test_a_resumed_adam_counts_its_steps_where_it_did(tmp_path, counts_there, place):
    """On the device if fused or capturable, on the host else; also of a scalar parameter."""
    for shape in ((), (2,)):
        kept = torch.nn.Parameter(torch.ones(shape))
        adam = torch.optim.Adam([kept])
        kept.sum().backward()
        adam.step()
        save_checkpoint(tmp_path / "c.safetensors", {}, [adam], 1, [])
        elsewhere = torch.nn.Parameter(torch.ones(shape, device="meta"))
        again = torch.optim.Adam([elsewhere], capturable=counts_there)
        load_checkpoint(tmp_path / "c.safetensors", {}, [again])
        state = again.state[elsewhere]
        assert {name: value.device.type for name, value in state.items()} == {
            "step": place, "exp_avg": "meta", "exp_avg_sq": "meta"
        }  # fmt: skip


def test_a_curve_is_read_back_to_the_last_bit(tmp_path):
    curve = [{"step": 10, "loss": 0.1 + 0.2, "lr": 1e-7}, {"step": 20, "loss": 1 / 3, "lr": 5e-324}]
    write_curve(curve, tmp_path / "curve.csv")
    with (tmp_path / "curve.csv").open(newline="") as handle:
        found = [
            {name: float(text) for name, text in row.items()} for row in csv.DictReader(handle)
        ]
    assert found == curve


def test_predict_does_not_depend_on_the_batch_size():
    model = tiny().eval()
    images = pictures()[0].permute(0, 2, 3, 1).numpy()
    whole = predict(model, images, batch_size=100, device="cpu")
    parts = predict(model, images, batch_size=4, device="cpu")
    torch.testing.assert_close(whole, parts, rtol=1e-5, atol=1e-5)
