"""Outlier Exposure: the loss by hand in its weightings, and what it does to a toy classifier."""

import math

import numpy as np
import pytest
import torch
from pytorch_ood.loss import OutlierExposureLoss

from bood_tasks.detectors.detector import train_detector
from bood_tasks.detectors.methods.outlier_exposure import OutlierExposure, to_uniform
from bood_tasks.training.predict import predict
from bood_tasks.training.recipe import Recipe, Step


class Given(torch.nn.Module):
    """Returns its input as logits."""

    def forward(self, x):
        return x


def losses(logits, labels, weighting, weight=0.5):
    method = OutlierExposure(
        Given(), classes=logits.shape[1], loss_weight=weight, weighting=weighting
    )
    return method.loss(logits, labels, Step(0, 1, torch.Generator()))


def test_both_weightings_by_hand():
    """Two classes; p = 3/4, 1/4 for ID, logits (0, 0) and (log 9, 0) for three outliers."""
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0], [math.log(9), 0.0], [0.0, 0.0]])
    labels = torch.tensor([1])
    ce = math.log(4)
    oe = [math.log(2), -(math.log(0.9) + math.log(0.1)) / 2, math.log(2)]
    batch = losses(logits, labels, "batch")
    assert batch["ce"].item() == pytest.approx(ce / 4)
    assert batch["oe"].item() == pytest.approx(sum(oe) / 4)
    assert batch["loss"].item() == pytest.approx((ce + 0.5 * sum(oe)) / 4)
    balanced = losses(logits, labels, "balanced")
    assert balanced["loss"].item() == pytest.approx(ce + 0.5 * sum(oe) / 3)


def test_batch_weighting_is_pytorch_oods_loss():
    logits = torch.randn(11, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 4, 2, 1])
    theirs = OutlierExposureLoss(alpha=0.3)(logits, torch.cat([labels, -torch.ones(7).long()]))
    assert losses(logits, labels, "batch", 0.3)["loss"].item() == pytest.approx(theirs.item())


def test_halves_are_goes_mean_over_64_and_64():
    """Its ImageNet notebooks: both halves concatenated, pytorch-ood's mean over all 128."""
    logits = torch.randn(128, 5, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(64) % 5
    target = torch.cat([labels, -torch.ones(64).long()])
    theirs = OutlierExposureLoss(alpha=0.5, reduction="none")(logits, target)
    assert theirs.shape == (128,)
    halves = losses(logits, labels, "halves")["loss"].item()
    assert halves == pytest.approx(theirs.mean().item())
    assert losses(logits, labels, "balanced")["loss"].item() == pytest.approx(2 * halves)


def test_balanced_weighting_does_not_see_how_many_outliers_there_are():
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 4])
    twice = torch.cat([logits, logits[2:]])
    one, two = (losses(x, labels, "balanced")["loss"] for x in (logits, twice))
    torch.testing.assert_close(one, two)
    one, two = (losses(x, labels, "batch")["loss"] for x in (logits, twice))
    assert not torch.isclose(one, two)


@pytest.mark.parametrize("weighting", ["batch", "balanced"])
@pytest.mark.parametrize(("ids", "outliers"), [(0, 3), (3, 0)])
def test_batches_of_one_kind_have_finite_losses_and_gradients(weighting, ids, outliers):
    logits = torch.randn(ids + outliers, 4, requires_grad=True)
    loss = losses(logits, torch.zeros(ids, dtype=torch.long), weighting)["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_uniform_predictions_cost_log_v_and_no_less():
    assert to_uniform(torch.zeros(1, 7)).item() == pytest.approx(math.log(7))
    others = to_uniform(torch.randn(100, 7, generator=torch.Generator().manual_seed(0)))
    assert (others > math.log(7)).all()


@pytest.mark.parametrize("weighting", ["batch", "balanced"])
def test_exposure_lowers_confidence_on_outliers_and_keeps_accuracy(tmp_path, weighting):
    rng = np.random.default_rng(0)
    labels = np.arange(256) % 2

    def drawn(labels):
        images = rng.integers(0, 60, (len(labels), 8, 8, 3), dtype=np.uint8)
        images[labels == 0, :, :4] += 190
        images[labels == 1, :, 4:] += 190
        return images

    images, fresh = drawn(labels), drawn(labels)
    outliers, unseen = (rng.integers(0, 256, (256, 8, 8, 3), dtype=np.uint8) for _ in range(2))
    mixing = "shuffled" if weighting == "batch" else "equal"
    recipe = Recipe(10, 16, 0.1, 0, crop_padding=0, flip=False, clip_norm=1, mixing=mixing)
    shape = {"network": "resnet", "depth": 18, "width": 4, "stem": "strided", "classes": 2}
    found = {}
    for name, method, settings, given in (
        ("plain", "cross_entropy", {}, []),
        (
            "exposed", "outlier_exposure",
            {"loss_weight": 0.5, "weighting": weighting}, [(outliers, 1.0)],
        ),
    ):  # fmt: skip
        model, _, _ = train_detector(
            images, labels, given, recipe, shape | {"method": method, "settings": settings},
            seed=0, checkpoint=tmp_path / name, device="cpu",
        )  # fmt: skip
        logits = {k: predict(model, x, batch_size=64, device="cpu") for k, x in
                  (("id", fresh), ("ood", unseen))}  # fmt: skip
        accuracy = (logits["id"].argmax(1).numpy() == labels).mean()
        found[name] = accuracy, logits["ood"].softmax(1).amax(1).mean().item()
    assert found["exposed"][0] >= found["plain"][0] - 0.01
    assert found["exposed"][1] < 0.65 < found["plain"][1]
