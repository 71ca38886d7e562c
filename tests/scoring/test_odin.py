import numpy as np
import pytest
import torch
from pytorch_ood.detector import ODIN
from torch import nn

from bood_tasks.detectors.confidence import msp
from bood_tasks.networks.pixels import to_input
from bood_tasks.networks.resnet import ResNet
from bood_tasks.networks.weights import initialised
from bood_tasks.scoring.posthoc.odin import (
    choose_magnitude,
    confidences,
    most_confident_magnitude,
    odin,
    perturbed,
)
from bood_tasks.training.predict import predict


@pytest.fixture(scope="module")
def model():
    return initialised(lambda: ResNet(depth=18, width=4, stem="strided", outputs=5), 0).eval()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def x(images):
    return to_input(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))


class Linear(nn.Module):
    """Two logits, w and -w times the picture, so that every gradient is known."""

    def __init__(self):
        super().__init__()
        self.w = torch.tensor([[3.0, 0.0, -1.0]]).T.expand(3, 4).reshape(3, 2, 2)
        self.passes = 0

    def forward(self, x):
        self.passes += 1
        logit = (x * self.w).sum((1, 2, 3))
        return torch.stack([logit, -logit], 1)


def test_perturbation_by_hand():
    """Sure of class 0: up along w; sure of class 1: down along w; where w is 0, nowhere."""
    x = torch.zeros(2, 3, 2, 2)
    x[0, 0], x[1, 0] = 1, -1
    moved = perturbed(lambda pictures: msp(Linear()(pictures)), x, 0.25) - x
    expected = 0.25 * torch.tensor([1.0, 0.0, -1.0])[:, None, None].expand(3, 2, 2)
    torch.testing.assert_close(moved, torch.stack([expected, -expected]))


def test_perturbation_moves_pictures_of_which_softmax_is_sure():
    x = torch.full((1, 3, 2, 2), 50.0)
    model = Linear()
    assert model(x).softmax(1).amax() == 1
    assert (perturbed(lambda pictures: msp(model(pictures)), x, 1.0) - x)[0, 0].eq(1).all()


def test_a_small_step_raises_every_confidence(model, x):
    found = odin(model, x, temperature=1000.0, magnitudes=[0.0, 0.001])
    assert (found[:, 1] > found[:, 0]).all()


def test_scores_by_magnitude_are_scores_of_moved_pictures(model, x):
    def confidence(pictures):
        return model(pictures).amax(1)

    found = confidences(confidence, x, [0.0, 0.01, 0.05])
    expected = [confidence(perturbed(confidence, x, size)) for size in (0.0, 0.01, 0.05)]
    torch.testing.assert_close(found, torch.stack(expected, 1).detach())
    assert not found.requires_grad


@pytest.mark.parametrize(("magnitudes", "passes"), [([0.0], 1), ([0.1], 2), ([0.0, 0.1, 0.2], 3)])
def test_magnitudes_share_one_gradient(magnitudes, passes):
    model = Linear()
    odin(model, torch.ones(2, 3, 2, 2), temperature=1.0, magnitudes=magnitudes)
    assert model.passes == passes


def test_odin_works_where_gradients_are_off_and_rows_are_alone(model, images, x):
    """`predict` runs in inference mode, in batches."""

    def score(pictures):
        return odin(model, pictures, temperature=1000.0, magnitudes=[0.01, 0.02])

    found = predict(score, images, batch_size=4, device="cpu")
    torch.testing.assert_close(found, score(x), rtol=1e-4, atol=1e-6)
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("temperature", [1.0, 1000.0])
def test_odin_ranks_as_pytorch_ood(model, x, temperature):
    double = initialised(lambda: ResNet(depth=18, width=4, stem="strided", outputs=5), 0)
    peer = ODIN(double.double().eval(), eps=0.01, temperature=temperature)
    expected = peer.predict(x.double()).argsort(descending=True)
    found = odin(model, x, temperature=temperature, magnitudes=[0.01])[:, 0]
    assert torch.equal(found.argsort(), expected)


def test_the_magnitude_with_the_lowest_fpr95_is_chosen():
    """FPR95 by hand: 1, 0 and 0 of OOD above all of ID; the first of equals."""
    inside = torch.tensor([[1.0, 2.0, 5.0], [2.0, 3.0, 6.0]])
    outside = torch.tensor([[3.0, 1.0, 4.0]])
    assert choose_magnitude([0.0, 0.1, 0.2], inside, outside) == 0.1


def test_godin_takes_the_magnitude_of_the_highest_mean_confidence():
    inside = torch.tensor([[1.0, 9.0, 4.0], [3.0, -9.0, 4.0]])
    assert most_confident_magnitude([0.0, 0.1, 0.2], inside) == 0.2
