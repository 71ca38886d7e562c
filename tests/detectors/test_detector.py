import numpy as np
import PIL.Image
import pytest
import torch

from bood_tasks.datasets.pictures import fit_picture
from bood_tasks.detectors.confidence import energy
from bood_tasks.detectors.detector import train_detector
from bood_tasks.detectors.methods.energy_regulariser import EnergyRegulariser
from bood_tasks.detectors.model import method_class
from bood_tasks.detectors.outliers import resized_outliers
from bood_tasks.training.predict import predict
from bood_tasks.training.recipe import Recipe

SHAPE = {"network": "resnet", "depth": 18, "width": 2, "stem": "strided"}


def described(method="cross_entropy", classes=2, **settings):
    return SHAPE | {"classes": classes, "method": method, "settings": settings}


def equation_7(**more):
    settings = {"ood_weight": 1.0, "reduction": "mean", "phi": "mlp"} | more
    return described("energy_regulariser", **settings)


def test_equation_7_total_by_hand(tmp_path, monkeypatch):
    """The first recorded loss is CE + beta * BCE(phi(E)) of the untrained network."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    outliers = rng.integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    labels = np.zeros(4, np.int64)  # equal labels: the CE term needs no knowledge of the order
    recipe = Recipe(1, 4, 1e-9, 0, crop_padding=0, flip=False, clip_norm=1)
    seen = {}
    forward = EnergyRegulariser.forward

    def watch(self, x):
        seen["logits"] = forward(self, x)
        seen["phi"] = self.phi(seen["logits"].logsumexp(1)[:, None])
        return seen["logits"]

    monkeypatch.setattr(EnergyRegulariser, "forward", watch)
    _, curve, _ = train_detector(
        images, labels, [(outliers, 1.0)], recipe, equation_7(ood_weight=2.5), seed=0,
        checkpoint=tmp_path / "c", device="cpu",
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
        images, labels, [(outliers, 1.0)], recipe, equation_7(), seed=0,
        checkpoint=tmp_path / "c", device="cpu",
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
            images, labels, outliers, recipe, method, seed=3,
            checkpoint=tmp_path / "c", device="cpu",
        )[0].network.head.weight
        for outliers, method in (([], described()), ([(images, 1.0)], equation_7()))
    ]  # fmt: skip
    torch.testing.assert_close(*heads)


def test_detector_goes_on_from_a_trained_classifier_with_a_new_phi(tmp_path):
    still = Recipe(1, 4, 1e-12, 0, crop_padding=0, flip=False, clip_norm=1)
    images = np.zeros((4, 8, 8, 3), np.uint8)
    images[::2] = 90
    labels = np.array([0, 1, 0, 1])
    first, _, _ = train_detector(
        images, labels, [], still, described(), seed=5, checkpoint=tmp_path / "a", device="cpu"
    )
    model, fresh = (
        train_detector(
            images, labels, [(images, 1.0)], still, equation_7(), seed=3,
            checkpoint=tmp_path / name, device="cpu", start=start,
        )[0]
        for name, start in (("b", first.state_dict()), ("c", None))
    )  # fmt: skip
    torch.testing.assert_close(model.network.head.weight, first.network.head.weight)
    assert not torch.allclose(fresh.network.head.weight, first.network.head.weight)
    torch.testing.assert_close(model.phi[0].weight, fresh.phi[0].weight)


def test_a_module_without_a_method_is_named(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("METHOD = 3\n")
    with pytest.raises(ValueError, match=r"methods\.mine\.module must name a subclass .* got 3"):
        method_class("mine", str(path))


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
