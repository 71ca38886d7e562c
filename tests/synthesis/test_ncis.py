import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bood_tasks.networks.volume_preserving import Rotation, VolumePreserving
from bood_tasks.synthesis.samplers import ncis
from bood_tasks.synthesis.samplers.interface import TrainingFeatures
from bood_tasks.synthesis.samplers.ncis import fit_map, invariants, tail_of
from bood_tasks.synthesis.samplers.tails import RIDGE, fit_gaussian

SETTINGS = {
    "vectors": 7, "variance": 0.95, "layers": 2, "epochs": 2, "batch_size": 16, "lr": 1e-3,
    "candidates": 50, "kept": 3, "seed": 0,
}  # fmt: skip


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def net(size=6, classes=2, layers=3, seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    return VolumePreserving(size=size, classes=classes, layers=layers).to(dtype)


@pytest.mark.parametrize("size", [2, 5, 6])
def test_the_map_is_undone_exactly(size):
    model = net(size)
    x, y = torch.randn(9, size, generator=stream(), dtype=torch.float64), torch.arange(9) % 2
    torch.testing.assert_close(model.inverse(model(x, y), y), x)
    assert (model(x, y) - model(x, 1 - y)).abs().max() > 1e-3  # it knows the class


def test_the_map_preserves_volume():
    model = net()
    for row in torch.randn(3, 6, generator=stream(), dtype=torch.float64):
        jacobian = torch.autograd.functional.jacobian(
            lambda x: model(x[None], torch.tensor([1]))[0], row
        )
        assert torch.linalg.det(jacobian).abs().item() == pytest.approx(1, abs=1e-9)
        assert (jacobian @ jacobian.T - torch.eye(6)).abs().max() > 1e-3  # yet it is no rotation


def test_a_rotation_is_orthogonal():
    torch.manual_seed(0)
    matrix = Rotation(7).double().matrix()
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(7, dtype=torch.float64))


def planes(count=240):
    """Two classes of 5 dimensions: in each, two vary much and three hardly."""
    rng, labels = stream(), torch.arange(count) % 2
    scale = torch.tensor([1.0, 0.8, 0.02, 0.02, 0.01])
    z = torch.randn(count, 5, generator=rng) * scale
    return z + 2 * labels[:, None], labels


@pytest.mark.parametrize("variance", [0.7, 0.95, 0.99995])
def test_invariants_are_counted_as_by_the_published_rule(variance):
    z, labels = planes()
    counts = []
    for label in range(2):
        values = np.linalg.eigvalsh(np.cov(z[labels == label].double().numpy().T))[::-1]
        counts.append(5 - np.where(np.cumsum(values) / values.sum() > variance)[0][0])
    assert invariants(z, labels, classes=2, variance=variance) == int(np.mean(counts))


def test_some_dimension_is_kept_and_some_is_not():
    z, labels = planes()
    assert invariants(z, labels, classes=2, variance=0.01) == 4
    flat = z * torch.tensor([1.0, 0, 0, 0, 0])
    assert invariants(flat, labels, classes=2, variance=0.95) == 4
    assert invariants(z[:, :2], labels, classes=2, variance=0.99999) == 1


def test_training_flattens_the_invariants_and_finds_the_way_back():
    z, labels = planes()
    model = net(5, layers=2, dtype=torch.float32)
    how = {"unused": 3, "batch_size": 60, "seed": 0}
    curve = fit_map(model, z, labels, epochs=12, lr=1e-2, **how)
    assert curve[-1][0] < 0.2 * curve[0][0]
    assert curve[-1][1] < 0.5 * curve[0][1]
    kept = F.pad(model(z, labels)[:, :-3], (0, 3))  # of the dimensions that it keeps, the way back
    assert F.mse_loss(model.inverse(kept, labels), z) < 0.1 * z.var()


def test_a_loss_that_is_not_finite_names_its_rate():
    z, labels = planes()
    z[0], model = torch.nan, net(5, dtype=torch.float32)
    with pytest.raises(ValueError, match=r"ood_features\.ncis\.lr must keep the loss finite"):
        fit_map(model, z, labels, unused=3, epochs=1, batch_size=32, lr=1e-3, seed=0)


def test_outliers_are_the_tail_of_the_class_behind_the_map():
    """Their Mahalanobis distances there are those of the least likely of so many samples."""
    z, labels = planes()
    model, own = net(5, dtype=torch.float32), z[labels == 1]
    found = tail_of(model, own, 1, vectors=200, candidates=100, kept=2, rng=stream())
    assert found.shape == (200, 5)
    ones = torch.ones(len(own), dtype=torch.long)
    behind = model(own, ones).detach().double().numpy()
    covariance = np.cov(behind.T) + RIDGE * np.eye(5)
    away = model(found, ones[:1].expand(200)).detach().double().numpy() - behind.mean(0)
    squares = np.einsum("np,pq,nq->n", away, np.linalg.inv(covariance), away)
    rng = np.random.default_rng(0)
    drawn = np.sort((rng.standard_normal((400, 100, 5)) ** 2).sum(2), axis=1)[:, -2:]
    assert squares.mean() == pytest.approx(drawn.mean(), rel=0.05)
    assert squares.min() > np.quantile(drawn, 0.0001) * 0.8


def test_gaussian_is_that_of_float64():
    z = torch.randn(50, 4, generator=stream()) @ torch.randn(4, 4, generator=stream(1))
    mean, factor = fit_gaussian(z)
    np.testing.assert_allclose(mean, z.double().numpy().mean(0), atol=1e-6)
    expected = np.cov(z.double().numpy().T) + RIDGE * np.eye(4)
    np.testing.assert_allclose((factor @ factor.T).numpy(), expected, rtol=1e-4, atol=1e-5)


def training():
    z, labels = planes()
    return TrainingFeatures(z, labels.numpy(), torch.randn(2, 5), ["a", "b"], None)


def test_sampler_gives_each_class_its_vectors_the_same_ones_again():
    found, again = (ncis.sample(training(), SETTINGS) for _ in range(2))
    assert found.labels.tolist() == [0] * 7 + [1] * 7
    assert torch.equal(found.vectors, again.vectors)
    assert found.counts["selected"] == {"a": 7, "b": 7}
    given = training()
    near = (F.normalize(found.vectors, dim=1) @ F.normalize(given.features, dim=1).T).numpy()
    for row, label in enumerate(found.labels.tolist()):
        members = np.flatnonzero(given.labels == label)
        assert found.rows[row] == members[near[row, members].argmax()]


def test_more_kept_than_drawn_is_refused():
    with pytest.raises(ValueError, match=r"ncis\.kept must be at most"):
        ncis.sample(training(), SETTINGS | {"kept": 51})
