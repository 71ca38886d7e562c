import pytest
import torch
from torch import nn

from bood_tasks.detectors.methods.gcos import GCOS
from bood_tasks.networks.resnet import ResNet
from bood_tasks.synthesis.samplers.gcos import fit_shell
from bood_tasks.training.recipe import Step

SETTINGS = {
    "queue": 40, "selected": 5, "weight": 0.1, "start": 0.4, "variance": 0.9, "inner": 0.9,
    "outer": 0.99,
}  # fmt: skip


class Flat(ResNet):
    """Features are the pixels."""

    def __init__(self):
        nn.Module.__init__(self)
        self.head = nn.Linear(12, 2)

    def stages(self, x):
        return [x.flatten(1)]


def filled(**more):
    torch.manual_seed(0)
    model = GCOS(Flat(), classes=2, **SETTINGS | more)
    x, y = torch.randn(80, 3, 2, 2), torch.arange(80) % 2
    x = x * torch.tensor([1.0, 1.0, 0.05])[:, None, None] + 2 * y[:, None, None, None]
    model.queue.add(x.flatten(1), y)
    return model, x, y


def test_outliers_lie_in_the_shell_of_the_queues():
    model, _, _ = filled()
    rows = model.queue.features.flatten(0, 1)
    labels = torch.arange(2).repeat_interleave(40)
    held = torch.arange(40).repeat(2) % 4 == 3
    shell = fit_shell(rows, labels, held, classes=2, **model.shell)
    found = model.outliers(torch.Generator().manual_seed(3))
    assert found.shape == (10, 12)
    distances = shell.distances(found, torch.tensor([0] * 5 + [1] * 5))
    assert (distances >= shell.inner * 0.999).all()
    assert (distances <= shell.outer * 1.001).all()
    assert len(distances.unique()) == 10


def test_queues_that_are_not_full_are_named_by_its_own_section():
    model, x, y = filled(queue=100)
    with pytest.raises(ValueError, match=r"detector\.gcos\.queue must be at most .* got 100"):
        model.loss(x, y, Step(4, 10, torch.Generator()))


def test_a_queue_without_a_calibration_set_is_refused():
    with pytest.raises(ValueError, match=r"detector\.gcos\.queue must be at least 4"):
        filled(queue=3)
