import math

import numpy as np
import PIL.Image
import pytest
import torch

from bood_tasks.detector import Detector, energy, ood_loss, resized_outliers, train_detector
from bood_tasks.pictures import fit_picture
from bood_tasks.training import Recipe, predict

SHAPE = {"depth": 18, "width": 2, "stem": "strided"}


def softplus(x):
    return math.log1p(math.exp(x))


def test_energy_is_positive_logsumexp():
    assert energy(torch.tensor([[0.0, math.log(3.0)]])).item() == pytest.approx(math.log(4))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_ood_loss_by_hand(reduction):
    # two ID rows with phi = (0, 2) and (0, -1), one OOD row with phi = (0, 3); label 1 is ID
    logits = torch.tensor([[0.0, 2.0], [0.0, -1.0], [0.0, 3.0]])
    id_terms = [softplus(-2), softplus(1)]
    ood_term = softplus(3)
    expected = {
        "mean": (sum(id_terms) + ood_term) / 3,
        "sum": sum(id_terms) / 2 + ood_term,
    }[reduction]
    loss = ood_loss(logits, torch.tensor([1, 1, 0]), reduction=reduction)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_sum_is_twice_mean_for_equal_batches():
    logits = torch.randn(8, 2)
    is_id = torch.tensor([1] * 4 + [0] * 4)
    both = [ood_loss(logits, is_id, reduction=name).item() for name in ("sum", "mean")]
    assert both[0] == pytest.approx(2 * both[1], rel=1e-6)


def test_equation_7_total_by_hand(tmp_path, monkeypatch):
    """The first recorded loss is CE + beta * BCE(phi(E)) of the untrained network."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    outliers = rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    labels = np.zeros(4, np.int64)  # equal labels: the CE term needs no knowledge of the order
    recipe = Recipe(1, 4, 1e-9, 0, crop_padding=0, flip=False, clip_norm=1)
    seen = {}
    forward = Detector.forward

    def watch(self, x):
        seen["logits"] = forward(self, x)
        seen["phi"] = self.phi(seen["logits"].logsumexp(1)[:, None])
        return seen["logits"]

    monkeypatch.setattr(Detector, "forward", watch)
    _, curve, _ = train_detector(
        images, labels, outliers, recipe, **SHAPE, classes=2, seed=0,
        checkpoint=tmp_path / "c", device="cpu", ood_weight=2.5, phi="mlp",
    )  # fmt: skip
    phi = seen["phi"].detach().double().log_softmax(1)
    ood = -(phi[:4, 1].sum() + phi[4:, 0].sum()) / 8
    point = curve[0]
    ce = -seen["logits"][:4].detach().double().log_softmax(1)[:, 0].mean()
    assert point["ce"] == pytest.approx(ce.item(), rel=1e-5)
    assert point["ood"] == pytest.approx(ood.item(), rel=1e-5)
    assert point["loss"] == pytest.approx(point["ce"] + 2.5 * point["ood"], rel=1e-5)


def test_detector_learns_to_tell_its_outliers(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(64) % 2
    images = np.zeros((64, 8, 8, 3), np.uint8)
    images[labels == 0, :, :4] = 255
    images[labels == 1, :, 4:] = 255
    outliers = rng.integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    recipe = Recipe(12, 16, 0.1, 0, crop_padding=0, flip=False, clip_norm=1)
    model, _, _ = train_detector(
        images, labels, outliers, recipe, **SHAPE, classes=2, seed=0,
        checkpoint=tmp_path / "c", device="cpu", ood_weight=1.0, phi="mlp",
    )  # fmt: skip

    def says_id(x):
        logits = predict(model, x, batch_size=64, device="cpu")
        return model.phi(energy(logits)[:, None]).softmax(1)[:, 1]

    fresh = rng.integers(0, 256, (32, 8, 8, 3), dtype=np.uint8)
    assert says_id(images).min() > 0.9
    assert says_id(fresh).quantile(0.9) < 0.1  # a few of 32 may be unlucky on some processor


def test_start_depends_on_the_seed_not_on_the_outliers(tmp_path):
    recipe = Recipe(1, 4, 1e-12, 0, crop_padding=0, flip=False, clip_norm=1)
    images = np.zeros((4, 8, 8, 3), np.uint8)
    labels = np.array([0, 1, 0, 1])
    heads = [
        train_detector(
            images, labels, outliers, recipe, **SHAPE, classes=2, seed=3,
            checkpoint=tmp_path / "c", device="cpu", phi=phi,
        )[0].classifier.head.weight
        for outliers, phi in ((None, None), (images, "mlp"))
    ]  # fmt: skip
    torch.testing.assert_close(*heads)


def test_detector_goes_on_from_a_trained_classifier_with_a_new_phi(tmp_path):
    still = Recipe(1, 4, 1e-12, 0, crop_padding=0, flip=False, clip_norm=1)
    images = np.zeros((4, 8, 8, 3), np.uint8)
    images[::2] = 90
    labels = np.array([0, 1, 0, 1])
    given = {"classes": 2, "device": "cpu", **SHAPE}
    first, _, _ = train_detector(
        images, labels, None, still, seed=5, checkpoint=tmp_path / "a", **given
    )
    model, _, _ = train_detector(
        images, labels, images, still, seed=3, checkpoint=tmp_path / "b", phi="mlp", start=first,
        **given,
    )  # fmt: skip
    fresh, _, _ = train_detector(
        images, labels, images, still, seed=3, checkpoint=tmp_path / "c", phi="mlp", **given
    )
    torch.testing.assert_close(model.classifier.head.weight, first.classifier.head.weight)
    assert not torch.allclose(fresh.classifier.head.weight, first.classifier.head.weight)
    torch.testing.assert_close(model.phi[0].weight, fresh.phi[0].weight)


def test_outliers_are_resized_once_each_in_order():
    rng = np.random.default_rng(0)
    shards = [rng.integers(0, 256, (n, 16, 16, 3), dtype=np.uint8) for n in (130, 3)]
    found = resized_outliers(shards, size=8, kernel="bicubic")
    pictures = np.concatenate(shards)
    assert len(found) == 133
    for row in (0, 99, 100, 129, 130, 132):
        expected = fit_picture(
            PIL.Image.fromarray(pictures[row]), size=8, fit="resize", kernel="bicubic"
        )
        assert np.array_equal(found[row], expected)
    assert np.array_equal(resized_outliers(shards, size=16, kernel="box"), pictures)
