import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bood_tasks import training
from bood_tasks.networks import ResNet, initialised
from bood_tasks.training import Recipe, augment, cosine_lr, fit, outlier_rows, predict

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


def cross_entropy(net, x, y):
    return {"loss": F.cross_entropy(net(x), y)}


def pictures(count=21):
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 8, 8), generator=rng, dtype=torch.uint8)
    return images, torch.arange(count) % 2


def run(checkpoint, loss=cross_entropy, recipe=RECIPE, **more):
    model = tiny()
    images, labels = pictures()
    curve = fit(
        model, loss, images, labels, recipe, stage="encoder", seed=0, checkpoint=checkpoint, **more
    )
    return model, curve


def same_weights(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_cosine_lr_goes_from_lr_to_the_last():
    assert cosine_lr(0, 100, 0.1) == 0.1
    assert cosine_lr(100, 100, 0.1) == pytest.approx(1e-6)
    assert cosine_lr(50, 100, 0.1) == pytest.approx((0.1 + 1e-6) / 2)


def test_outlier_rows_are_whole_passes_wherever_they_are_cut():
    whole = outlier_rows(0, 15, 5, 0, "detector")
    assert all(sorted(whole[k : k + 5]) == [0, 1, 2, 3, 4] for k in (0, 5, 10))
    parts = [outlier_rows(start, 4, 5, 0, "detector") for start in (0, 4, 8)]
    assert np.concatenate(parts).tolist() == whole[:12].tolist()


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

    def loss(net, x, y):
        seen.append(len(y))
        return cross_entropy(net, x, y)

    run(tmp_path / "c", loss)
    assert seen == [7, 7, 7] * 2  # 21 rows, batches of at most 8


def test_outliers_join_the_batch_behind_the_id_rows(tmp_path):
    shapes = []

    def loss(net, x, y):
        shapes.append((len(x), len(y)))
        return cross_entropy(lambda z: net(z)[: len(y)], x, y)

    run(tmp_path / "c", loss, outliers=pictures(5)[0])
    assert set(shapes) == {(14, 7)}


def test_a_killed_run_ends_with_the_same_weights(tmp_path, monkeypatch):
    whole, curve = run(tmp_path / "a")
    monkeypatch.setattr(training, "STEPS_PER_CHECKPOINT", 2)
    calls = 0

    def dies(net, x, y):
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return cross_entropy(net, x, y)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", dies)
    calls = 6
    resumed, again = run(tmp_path / "b", dies)
    assert calls == 8  # steps 5 and 6 of 6: one lost step is done again, four are not
    assert same_weights(whole, resumed)
    assert [point["step"] for point in curve] == [point["step"] for point in again]


def test_seed_changes_the_order_and_nothing_global_does(tmp_path):
    first, _ = run(tmp_path / "a")
    torch.manual_seed(99)
    np.random.seed(99)
    second, _ = run(tmp_path / "b")
    assert same_weights(first, second)


def test_diverging_loss_is_refused_with_the_learning_rate(tmp_path):
    def loss(net, x, y):
        return {"loss": cross_entropy(net, x, y)["loss"] * math.inf}

    with pytest.raises(ValueError, match=r"encoder.lr \(now 0.05\)"):
        run(tmp_path / "c", loss)


def test_first_step_is_nesterov_sgd_by_hand(tmp_path):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    weight = model[1].weight.detach().clone()
    images = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    recipe = Recipe(1, 1, 0.1, weight_decay=0.01, crop_padding=0, flip=False, clip_norm=100)

    def loss(net, x, y):
        return {"loss": net(x)[:, 0].sum()}

    labels = torch.zeros(1, dtype=torch.long)
    fit(
        model, loss, images, labels, recipe, stage="encoder", seed=0, checkpoint=tmp_path / "c"
    )  # fmt: skip
    gradient = torch.zeros(2, 12)
    gradient[0] = 2.0  # network input of pixel 255
    gradient += 0.01 * weight
    torch.testing.assert_close(model[1].weight.detach(), weight - 0.1 * (gradient * 1.9))


def test_predict_does_not_depend_on_the_batch_size():
    model = tiny().eval()
    images = pictures()[0].permute(0, 2, 3, 1).numpy()
    whole = predict(model, images, batch_size=100, device="cpu")
    parts = predict(model, images, batch_size=4, device="cpu")
    torch.testing.assert_close(whole, parts, rtol=1e-5, atol=1e-5)
