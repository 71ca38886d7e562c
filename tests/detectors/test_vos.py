import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import chi2, kstest
from sklearn.metrics import roc_auc_score
from torch import nn

from bood_tasks.detectors.methods.queue import Queue
from bood_tasks.detectors.methods.vos import RIDGE, VOS, fit_gaussians, weighted_energy
from bood_tasks.networks.resnet import ResNet
from bood_tasks.synthesis.samplers.tails import unlikeliest
from bood_tasks.training.recipe import Step, cosine_lr

SETTINGS = {"queue": 4, "candidates": 50, "selected": 2, "weight": 0.1, "start": 0.4}


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


class Plane(ResNet):
    """Features are the first two channels of one-pixel pictures; the head is the caller's."""

    def __init__(self, head):
        nn.Module.__init__(self)
        self.head = head

    def penultimate(self, x):
        return x[:, :2, 0, 0]

    def stages(self, x):
        return [self.penultimate(x)]


class Curved(nn.Sequential):
    """A head that is no linear layer: with it an energy can be low all round a class."""

    in_features = 2

    def __init__(self, classes):
        super().__init__(
            nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, classes)
        )


def picture(points):
    return F.pad(points, (0, 1))[:, :, None, None]


def tiny(**more):
    torch.manual_seed(0)
    network = ResNet(depth=18, width=2, stem="strided", outputs=3)
    return VOS(network, classes=3, **SETTINGS | more)


def step_of(number, total=10):
    return Step(number, total, stream(number))


def test_weighted_energy_by_hand_with_a_weight_below_zero():
    logits = torch.tensor([[math.log(2), math.log(3), 50.0]])
    found = weighted_energy(logits[:, :2], torch.tensor([0.5, 4.0]))
    assert found.item() == pytest.approx(math.log(0.5 * 2 + 4 * 3), rel=1e-6)
    without = weighted_energy(logits[:, :2], torch.tensor([0.5, -4.0]))
    assert without.item() == pytest.approx(math.log(0.5 * 2), rel=1e-6)
    torch.testing.assert_close(weighted_energy(logits, torch.ones(3)), logits.logsumexp(1))


def test_gaussians_are_those_of_float64():
    features = torch.randn(3, 7, 4, generator=stream()) + 5 * torch.randn(
        3, 1, 4, generator=stream(1)
    )
    means, factor = fit_gaussians(features)
    rows = features.double().numpy()
    np.testing.assert_allclose(means.numpy(), rows.mean(1), rtol=1e-5)
    covariance = sum(np.cov(each.T, bias=True) for each in rows) / 3 + RIDGE * np.eye(4)
    np.testing.assert_allclose(factor @ factor.T, covariance, atol=1e-5)
    assert torch.equal(factor, factor.tril())


def test_covariance_without_a_factor_is_nan_not_silence():
    assert fit_gaussians(torch.full((1, 3, 2), torch.inf))[1].isnan().all()


def test_unlikeliest_are_distributed_as_those_chosen_from_full_candidates():
    """Against drawing 60 vectors each and ranking them by float64 log likelihood."""
    size, candidates, selected, repeats = 5, 60, 3, 3000
    found = unlikeliest(
        stream(), classes=repeats, size=size, candidates=candidates, selected=selected
    ).double()
    full = torch.randn(repeats, candidates, size, dtype=torch.float64, generator=stream(1))
    normal = torch.distributions.Normal(0, 1)
    likelihood = normal.log_prob(full).sum(2)
    chosen = likelihood.topk(selected, 1, largest=False).indices
    literal = full.gather(1, chosen[..., None].expand(-1, -1, size))
    for rank in range(selected):
        ours, theirs = found[:, rank], literal[:, rank]
        assert kstest(ours.norm(dim=1), theirs.norm(dim=1)).pvalue > 0.01
        for axis in range(size):
            assert kstest(ours[:, axis], theirs[:, axis]).pvalue > 1e-3
    assert kstest(found[:, 0].square().sum(1), lambda r: chi2.cdf(r, size) ** 60).pvalue > 0.01


def test_selected_are_the_candidates_of_lowest_likelihood():
    """All candidates of one stream are seen by selecting all of them."""
    shape = {"classes": 3, "size": 4, "candidates": 40}
    squared = [
        unlikeliest(stream(3), selected=count, **shape).double().square().sum(2)
        for count in (40, 6)
    ]
    assert squared[0].min() > 0
    expected = squared[0].sort(1, descending=True).values[:, :6]
    torch.testing.assert_close(squared[1], expected, rtol=1e-5, atol=0)


def test_outliers_lie_as_far_out_as_drawn_under_each_class_s_own_gaussian():
    """Log likelihoods by float64's multivariate normal: -|z|^2 / 2 less the normaliser's."""
    model = tiny(queue=30, candidates=1000, selected=3)
    mix = torch.randn(16, 16, generator=stream(4)) / 4 + torch.eye(16)
    features = torch.randn(3, 30, 16, generator=stream()) @ mix
    features += torch.randn(3, 1, 16, generator=stream(1))
    model.queue.features.copy_(features)
    outliers = model.outliers(stream(2)).double().reshape(3, 3, 16)
    z = unlikeliest(stream(2), classes=3, size=16, candidates=1000, selected=3).double()
    rows = features.double()
    away = rows - rows.mean(1, keepdim=True)
    covariance = torch.einsum("vqi,vqj->ij", away, away) / 90 + RIDGE * torch.eye(16)
    for label in range(3):
        gaussian = torch.distributions.MultivariateNormal(rows[label].mean(0), covariance)
        found = gaussian.log_prob(outliers[label]) - gaussian.log_prob(gaussian.mean)
        torch.testing.assert_close(found, -z[label].square().sum(1) / 2, rtol=1e-3, atol=0)


def test_one_factorisation_a_step(monkeypatch):
    model, calls = tiny(queue=1), []
    original = torch.linalg.cholesky_ex
    monkeypatch.setattr(
        torch.linalg, "cholesky_ex", lambda *given: calls.append(1) or original(*given)
    )
    monkeypatch.setattr(torch.linalg, "cholesky", None)
    x, y = torch.randn(6, 3, 16, 16, generator=stream()), torch.tensor([0, 0, 1, 1, 2, 2])
    for number in range(6):
        model.loss(x, y, step_of(number))
    assert len(calls) == 2  # of steps 4 and 5 of 10, for three classes each


def test_queue_keeps_the_last_of_each_class_whatever_the_batches():
    labels = torch.randint(3, (60,), generator=stream())
    features = torch.arange(120.0).reshape(60, 2)
    for parts in ((60,), (7, 40, 1, 12)):
        queue = Queue(classes=3, size=4, width=2)
        for rows, names in zip(features.split(parts), labels.split(parts), strict=True):
            queue.add(rows, names)
        assert torch.equal(queue.seen, labels.bincount())
        for label in range(3):
            kept = queue.features[label]
            assert torch.equal(kept[kept[:, 0].argsort()], features[labels == label][-4:])


def test_queue_fills_from_its_beginning():
    queue = Queue(classes=2, size=3, width=1)
    queue.add(torch.tensor([[5.0], [6.0], [7.0]]), torch.tensor([1, 0, 1]))
    assert queue.features[..., 0].tolist() == [[6, 0, 0], [5, 7, 0]]
    assert queue.seen.tolist() == [1, 2]


def test_loss_by_hand(monkeypatch):
    """E of two ID rows and two outliers, phi = (0, softplus(a) E + b), the mean of four terms."""
    head = nn.Linear(2, 2)
    model = VOS(Plane(head), classes=2, queue=1, candidates=1, selected=1, weight=0.5, start=0.5)
    with torch.no_grad():
        head.weight.copy_(torch.eye(2))
        head.bias.zero_()
        model.class_weights.copy_(torch.tensor([1.0, 3.0]))
        model.phi.slope.fill_(math.log(math.e - 1))  # softplus = 1
        model.phi.offset.fill_(-2.0)
    rows, outliers = [[2.0, 0.0], [1.0, 1.0]], [[0.0, -1.0], [-3.0, 0.5]]
    monkeypatch.setattr(model, "outliers", lambda rng: torch.tensor(outliers))
    terms = model.loss(picture(torch.tensor(rows)), torch.tensor([0, 1]), step_of(5))
    signs = (-1, -1, 1, 1)
    bce = [
        math.log1p(math.exp(sign * (math.log(math.exp(a) + 3 * math.exp(b)) - 2)))
        for sign, (a, b) in zip(signs, rows + outliers, strict=True)
    ]
    ce = (math.log1p(math.exp(-2)) + math.log(2)) / 2
    assert terms["ce"].item() == pytest.approx(ce, rel=1e-5)
    assert terms["ood"].item() == pytest.approx(sum(bce) / 4, rel=1e-5)
    assert terms["loss"].item() == pytest.approx(ce + 0.5 * sum(bce) / 4, rel=1e-5)


def test_outlier_term_trains_body_head_class_weights_and_phi():
    model = tiny(queue=2)
    x, y = torch.randn(6, 3, 16, 16, generator=stream()), torch.tensor([0, 0, 1, 1, 2, 2])
    model.loss(x, y, step_of(4))["ood"].backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.any() or "body" in name, name  # a dead ReLU's
    assert model.network.body[0].weight.grad.any()


def test_loss_is_cross_entropy_before_the_start_and_fills_the_queue():
    model = tiny()
    x, y = torch.randn(6, 3, 16, 16, generator=stream()), torch.tensor([0, 0, 1, 1, 2, 2])
    terms = model.loss(x, y, step_of(3))
    assert terms["loss"].item() == F.cross_entropy(model(x), y).item()
    assert terms["ood"].item() == 0
    assert model.queue.seen.tolist() == [2, 2, 2]
    torch.testing.assert_close(model.queue.features[1, :2], model.network.penultimate(x)[2:4])


def test_queue_that_is_not_full_at_the_start_is_refused():
    x, y = torch.randn(6, 3, 16, 16), torch.tensor([0, 0, 0, 0, 2, 2])
    with pytest.raises(ValueError, match=r"vos.queue must be at most .* got 4 for 0 of class 1"):
        tiny().loss(x, y, step_of(4))


def test_more_selected_than_candidates_are_refused():
    with pytest.raises(
        ValueError, match=r"selected must be at most detector.vos.candidates, got 51"
    ):
        tiny(selected=51)


def test_bf16_leaves_the_gaussians_in_float32():
    model = tiny(queue=2)
    x, y = torch.randn(6, 3, 16, 16, generator=stream()), torch.tensor([0, 0, 1, 1, 2, 2])
    given = []
    model.phi.register_forward_hook(lambda phi, energies, found: given.append(energies[0]))
    with torch.autocast("cpu", torch.bfloat16):
        model.loss(x, y, step_of(4))
    assert model.queue.features.dtype == given[0].dtype == torch.float32
    outliers = model.network.head(model.outliers(stream(4)))
    expected = weighted_energy(outliers, model.class_weights)
    torch.testing.assert_close(given[0][6:, 0], expected)


def test_outputs_add_the_weighted_energy_of_the_logits():
    model = tiny().eval()
    x = torch.randn(5, 3, 16, 16, generator=stream())
    found = model.outputs(x)
    torch.testing.assert_close(found["logits"], model(x))
    expected = (model.class_weights.double() * found["logits"].double().exp()).sum(1).log()
    torch.testing.assert_close(found["weighted_energy"].double(), expected, rtol=1e-5, atol=1e-5)


def test_energy_falls_away_from_the_classes_where_cross_entropy_rises():
    """The paper's figure 1: three Gaussian classes in the plane, and all the plane around."""
    centres = torch.tensor([[0.0, 2.0], [1.7, -1.0], [-1.7, -1.0]])
    labels = torch.arange(300) % 3
    points = centres[labels] + 0.3 * torch.randn(300, 2, generator=stream())
    angles = torch.rand(400, generator=stream(1)) * 2 * math.pi
    far = torch.stack([angles.cos(), angles.sin()], 1) * (
        5 + 5 * torch.rand(400, 1, generator=stream(2))
    )
    auroc = {}
    for start in (1.0, 0.02):  # 1: plain cross-entropy to the end
        torch.manual_seed(0)
        model = VOS(
            Plane(Curved(3)), classes=3, queue=50, candidates=1000, selected=50, weight=1.0,
            start=start,
        )  # fmt: skip
        optimiser = torch.optim.Adam(model.parameters())
        for number in range(150):
            optimiser.param_groups[0]["lr"] = cosine_lr(number, 150, 0.02)
            optimiser.zero_grad()
            model.loss(picture(points), labels, step_of(number, 150))["loss"].backward()
            optimiser.step()
        with torch.no_grad():
            inside, outside = (model.outputs(picture(where)) for where in (points, far))
        assert (inside["logits"].argmax(1) == labels).double().mean() > 0.99
        energies = torch.cat([each["weighted_energy"] for each in (inside, outside)])
        auroc[start] = roc_auc_score(np.arange(len(energies)) < 300, energies)
    assert auroc[1.0] < 0.2
    assert auroc[0.02] > 0.99
