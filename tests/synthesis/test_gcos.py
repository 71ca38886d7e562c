import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bood_tasks.synthesis.samplers import gcos
from bood_tasks.synthesis.samplers.gcos import (
    RIDGE,
    conformal_quantile,
    drawn,
    fit_shell,
    to_shell,
)
from bood_tasks.synthesis.samplers.interface import TrainingFeatures

HOW = {"variance": 0.95, "inner": 0.9, "outer": 0.99}


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def given(count=300, classes=3, size=6, seed=0):
    """Features of classes on planes: the first two dimensions vary, the others hardly."""
    rng = stream(seed)
    scale = torch.tensor([2.0, 1.0, 0.1, 0.1, 0.05, 0.05])[:size]
    labels = torch.arange(count) % classes
    turn = torch.linalg.qr(torch.randn(size, size, generator=rng)).Q
    centres = 3 * torch.randn(classes, size, generator=rng)
    z = centres[labels] + scale * torch.randn(count, size, generator=rng) @ turn
    calibration = torch.arange(count) % 4 == 3
    return z, labels, calibration


def mahalanobis(z, labels, means, covariance):
    away = z.double().numpy() - means[labels.numpy()]
    return np.sqrt(np.einsum("np,pq,nq->n", away, np.linalg.inv(covariance), away))


def test_shell_is_that_of_float64():
    z, labels, calibration = given()
    shell = fit_shell(z, labels, calibration, classes=3, **HOW)
    rows, of = z[~calibration].double().numpy(), labels[~calibration].numpy()
    means = np.stack([rows[of == k].mean(0) for k in range(3)])
    away = rows - means[of]
    covariance = away.T @ away / len(away) + RIDGE * np.eye(6)
    found = mahalanobis(z, labels, means, covariance)
    np.testing.assert_allclose(shell.distances(z, labels).numpy(), found, rtol=1e-4)
    held = np.sort(found[calibration.numpy()])
    ranks = [int(np.ceil((len(held) + 1) * level)) for level in (0.9, 0.99)]
    expected = [held[min(rank, len(held)) - 1] for rank in ranks]
    assert [shell.inner.item(), shell.outer.item()] == pytest.approx(expected, rel=1e-4)
    values = np.linalg.eigvalsh(covariance - RIDGE * np.eye(6))
    assert shell.off == (np.cumsum(values) / values.sum() < 0.05).sum() == 4


@pytest.mark.parametrize("count", [1, 5, 19, 20, 1000])
def test_conformal_quantiles_cover_what_they_say(count):
    """A new score lies above it with a chance of at most 1 - level (exchangeable scores)."""
    scores = torch.rand(count, generator=stream())
    found = conformal_quantile(scores, 0.95)
    assert (scores <= found).sum() == min(count, int(np.ceil((count + 1) * 0.95 - 1e-9)))


def test_outliers_lie_in_the_shell_and_leave_the_manifold_alone():
    z, labels, calibration = given()
    shell = fit_shell(z, labels, calibration, classes=3, **HOW)
    depths = torch.linspace(0, 1, len(z))
    directions = torch.randn(len(z), shell.off, generator=stream(1))
    found = to_shell(z, labels, shell, directions, depths)
    radius = shell.inner + depths * (shell.outer - shell.inner)
    torch.testing.assert_close(shell.distances(found, labels), radius, rtol=1e-3, atol=1e-3)
    inside = shell.distances(z, labels) <= radius
    moved = shell.along(found, labels) - shell.along(z, labels)
    assert moved[inside][:, shell.off :].abs().max() < 1e-4  # along the manifold nothing moves
    along = F.normalize(moved[inside][:, : shell.off], dim=1)
    cosines = (along * F.normalize(directions[inside], dim=1)).sum(1)
    assert cosines.min() > 0.999  # forwards along the direction drawn
    assert (~inside).any()
    # what lies beyond starts from its class's mean
    assert shell.along(found, labels)[~inside][:, shell.off :].abs().max() < 1e-4


def test_nothing_that_is_not_finite_is_hidden():
    z, labels, calibration = given()
    z[0] = torch.inf
    shell = fit_shell(z, labels, calibration, classes=3, **HOW)
    assert drawn(z, labels, torch.arange(9), shell, stream()).isnan().any()


def test_scale_and_rotation_of_the_features_go_through():
    """GCOS has no length of its own, but for the ridge."""
    z, labels, calibration = given(count=2000)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=stream(5))).Q
    shells = [fit_shell(rows, labels, calibration, classes=3, **HOW) for rows in (z, 7 * z @ turn)]
    assert shells[0].off == shells[1].off
    for name in ("inner", "outer"):
        one, other = (getattr(shell, name).item() for shell in shells)
        assert one == pytest.approx(other, rel=0.05)


def training(classes=3):
    z, labels, _ = given(classes=classes)
    names = [f"c{k}" for k in range(classes)]
    return TrainingFeatures(z, labels.numpy(), torch.randn(classes, 6), names, None)


def test_sampler_gives_each_class_its_vectors_the_same_ones_again():
    settings = {**HOW, "vectors": 7, "seed": 0}
    found, again = (gcos.sample(training(), settings) for _ in range(2))
    assert found.labels.tolist() == [0] * 7 + [1] * 7 + [2] * 7
    assert torch.equal(found.vectors, again.vectors)
    assert not torch.equal(found.vectors, gcos.sample(training(), settings | {"seed": 1}).vectors)
    given = training()
    assert (given.labels[found.rows] == found.labels.numpy()).all()
    unit = F.normalize(given.features, dim=1)[found.rows]
    assert ((found.vectors - unit).norm(dim=1) > 1e-4).all()
    assert found.counts["selected"] == {"c0": 7, "c1": 7, "c2": 7}


def test_sampler_refuses_a_class_of_too_few():
    few = dataclasses.replace(training(), labels=np.array([2] * 3 + [0, 1] * 148 + [0]))
    with pytest.raises(ValueError, match=r"got 3 of c2"):
        gcos.sample(few, {**HOW, "vectors": 7, "seed": 0})
