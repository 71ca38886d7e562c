import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import ive

from bood_tasks.synthesis.samplers import hamos
from bood_tasks.synthesis.samplers.hamos import (
    banks_of,
    chains,
    hamiltonian_round,
    kth_neighbour,
    leapfrog,
    log_posterior,
    midpoints,
    ood_potential,
)
from bood_tasks.synthesis.samplers.interface import TrainingFeatures

SETTINGS = {
    "vectors": 7, "rounds": 2, "neighbours": 5, "adjacent": 2, "leapfrogs": 3, "step_size": 0.1,
    "kappa": 2.0, "margin": 0.2, "seed": 0,
}  # fmt: skip


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def unit(*shape, seed=0, dtype=torch.float64):
    return F.normalize(torch.randn(*shape, generator=stream(seed), dtype=dtype), dim=-1)


def clusters(classes=3, each=30, size=6, dtype=torch.float64):
    labels = torch.arange(classes * each) % classes
    centres = unit(classes, size, seed=7, dtype=dtype)
    noise = torch.randn(len(labels), size, generator=stream(8), dtype=dtype)
    return F.normalize(centres[labels] + 0.2 * noise, dim=1), labels


def vmf(kappa, size):
    mode = torch.zeros(size, dtype=torch.float64)
    mode[0] = 1
    return lambda x: (-kappa * x @ mode, (-kappa * mode).expand_as(x))


def test_a_round_leaves_the_von_mises_fisher_distribution_as_it_is():
    """Its mean length is I_{d/2}(kappa) / I_{d/2 - 1}(kappa)."""
    kappa, size, rng = 3.0, 4, stream()
    x = unit(4000, size, seed=1)
    for _ in range(60):
        x = hamiltonian_round(x, vmf(kappa, size), rng, leapfrogs=4, step_size=0.3)
    expected = ive(size / 2, kappa) / ive(size / 2 - 1, kappa)
    assert x.mean(0)[0].item() == pytest.approx(expected, abs=0.02)
    assert x.mean(0)[1:].abs().max() < 0.04
    torch.testing.assert_close(x.norm(dim=1), torch.ones(4000, dtype=torch.float64))


def test_leapfrog_is_undone_by_turning_round():
    x = unit(6, 6, seed=3)
    v = torch.randn(6, 6, generator=stream(4), dtype=torch.float64)
    v = v - (v * x).sum(1, keepdim=True) * x
    smooth = vmf(3.0, 6)
    there, momentum = leapfrog(x, v, smooth, steps=10, step_size=0.1)
    back, reverse = leapfrog(there, -momentum, smooth, steps=10, step_size=0.1)
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(-reverse, v)
    assert (there - x).norm(dim=1).min() > 0.1


def test_energy_error_falls_with_the_square_of_the_step():
    x, smooth = unit(50, 6, seed=3), vmf(3.0, 6)
    v = torch.randn(50, 6, generator=stream(4), dtype=torch.float64)
    v = v - (v * x).sum(1, keepdim=True) * x

    def error(steps, size):
        there, momentum = leapfrog(x, v, smooth, steps=steps, step_size=size)
        both = [smooth(p)[0] + m.square().sum(1) / 2 for p, m in ((x, v), (there, momentum))]
        return (both[1] - both[0]).abs().mean().item()

    assert error(10, 0.1) / error(20, 0.05) == pytest.approx(4, rel=0.15)


def test_neighbours_are_those_of_a_full_search():
    z, labels = clusters()
    z, labels = z[:-4], labels[:-4]  # classes of different sizes
    points, of = unit(70, 6, seed=5), torch.arange(70) % 3  # more than are held at once
    found = kth_neighbour(points, of, banks_of(z, labels, 3), 5)
    for point, label, other in zip(points, of, found, strict=True):
        own = z[labels == label].numpy()
        order = np.argsort(np.linalg.norm(own - point.numpy(), axis=1))
        np.testing.assert_allclose(other.numpy(), own[order[4]])


def test_potential_and_its_gradient_are_those_of_float64():
    z, labels = clusters()
    points = unit(6, 6, seed=5).requires_grad_()
    pairs = torch.tensor([[0, 1], [0, 2], [1, 2], [1, 0], [2, 0], [2, 1]])
    value, gradient = ood_potential(pairs, banks_of(z, labels, 3), neighbours=5)(points)
    expected = []
    for point, pair in zip(points.detach(), pairs, strict=True):
        far = [np.sort(np.linalg.norm(z[labels == k].numpy() - point.numpy(), axis=1))[4]
               for k in pair.tolist()]  # fmt: skip
        expected.append(-math.log(sum(far) / 2))
    np.testing.assert_allclose(value.detach().numpy(), expected)
    torch.testing.assert_close(torch.autograd.grad(value.sum(), points)[0], gradient.detach())


def test_posterior_is_that_of_float64():
    z, labels = clusters()
    points = unit(70, 6, seed=6)
    found = log_posterior(points, banks_of(z, labels, 3), neighbours=5, kappa=2.0)
    near = [np.sort(points.numpy() @ z[labels == k].numpy().T, axis=1)[:, -5:] for k in range(3)]
    density = np.stack([np.exp(2 * each).mean(1) for each in near])
    np.testing.assert_allclose(found.numpy(), np.log(density.max(0) / density.sum(0)))


def test_chains_start_half_way_to_the_nearest_classes():
    means = torch.tensor([[1.0, 0, 0], [0.8, 0.6, 0], [0, 1.0, 0], [0, 0, 1.0]])
    points, pairs = midpoints(5 * means, adjacent=1)
    assert pairs[:3].tolist() == [[0, 1], [1, 0], [2, 1]]
    torch.testing.assert_close(points[0], F.normalize(means[0] + means[1], dim=0))
    assert len(midpoints(means, adjacent=9)[1]) == 12  # all others


def test_chains_go_where_both_classes_are_far_and_no_class_claims_them():
    z, labels = clusters(each=60)
    banks = banks_of(z, labels, 3)
    means = torch.stack([z[labels == k].mean(0) for k in range(3)])
    keys = ("neighbours", "adjacent", "leapfrogs", "step_size", "kappa", "margin")
    how = {key: SETTINGS[key] for key in keys}
    places, pairs = chains(means, banks, stream(), rounds=40, **how)
    assert places.shape == (41, 6, 6)
    far = -ood_potential(pairs, banks, neighbours=5)(places[-1])[0].mean()
    assert far > -ood_potential(pairs, banks, neighbours=5)(places[0])[0].mean() + 0.2
    surest = {"neighbours": 5, "kappa": 2.0}
    limit = log_posterior(places[0], banks, **surest) + 0.1
    for there in places[1:]:
        assert (log_posterior(there, banks, **surest) < limit).all()
    moved = (places[1:] != places[:-1]).any(2).double().mean()
    assert moved > 0.5


def test_without_room_no_chain_moves():
    x = unit(5, 6)
    none = hamiltonian_round(
        x, vmf(1.0, 6), stream(), leapfrogs=3, step_size=0.1,
        allowed=lambda there: torch.zeros(len(there), dtype=torch.bool),
    )  # fmt: skip
    assert torch.equal(none, x)


def training():
    z, labels = clusters(dtype=torch.float32)
    return TrainingFeatures(3 * z, labels.numpy(), torch.randn(3, 6), ["a", "b", "c"], None)


def test_sampler_gives_each_class_its_vectors_the_same_ones_again():
    found, again = (hamos.sample(training(), SETTINGS) for _ in range(2))
    assert found.labels.tolist() == [0] * 7 + [1] * 7 + [2] * 7
    assert torch.equal(found.vectors, again.vectors)
    assert (training().labels[found.rows] == found.labels.numpy()).all()
    assert found.counts["selected"] == {"a": 7, "b": 7, "c": 7}


def test_chains_begin_anew_after_their_rounds():
    """So vectors stay as near to the classes, however many are asked for."""
    given = training()
    unit = F.normalize(given.features, dim=1)
    few, many = (hamos.sample(given, SETTINGS | {"vectors": count}).vectors for count in (8, 200))
    near = [(each @ unit.T).amax(1).mean().item() for each in (few, many)]
    assert near[1] == pytest.approx(near[0], abs=0.1)


def test_more_neighbours_than_features_are_refused():
    with pytest.raises(ValueError, match=r"hamos\.neighbours must be at most .* got 31 for 30"):
        hamos.sample(training(), SETTINGS | {"neighbours": 31})
