import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import nn

from bood_tasks.detectors.methods.hypersphere import dispersion, moved_prototypes
from bood_tasks.detectors.methods.npos import NPOS, synthesise
from bood_tasks.networks.resnet import ResNet
from bood_tasks.training.recipe import Recipe, Step, clip_gradients, cosine_lr

SETTINGS = {
    "embedding": 5, "temperature": 0.1, "prototype_momentum": 0.95, "dispersion_weight": 0.5,
    "queue": 4, "neighbours": 2, "boundary": 3, "points": 2, "candidates": 20, "kept": 2,
    "sigma": 0.1, "outlier_weight": 0.1, "phi_lr": 1.0, "start": 0.4,
}  # fmt: skip


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def unit(*shape, seed=0, dtype=torch.float32):
    return F.normalize(torch.randn(*shape, generator=stream(seed), dtype=dtype), dim=-1)


class Flat(ResNet):
    """Features are the pixels."""

    def __init__(self, pixels):
        nn.Module.__init__(self)
        self.head = nn.Linear(pixels, 1)

    def penultimate(self, x):
        return x.flatten(1)

    def stages(self, x):
        return [self.penultimate(x)]


def tiny(**more):
    torch.manual_seed(0)
    network = ResNet(depth=18, width=2, stem="strided", outputs=3)
    return NPOS(network, classes=3, **SETTINGS | more)


def step_of(number, total=10):
    return Step(number, total, stream(number))


def batch():
    return torch.randn(6, 3, 16, 16, generator=stream()), torch.tensor([0, 0, 1, 1, 2, 2])


def test_prototypes_by_hand():
    """Two rows of class 1 in turn: .8 (.8 mu + .2 z_0) + .2 z_2; class 0 has no row yet."""
    prototypes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, -1.0]])
    z = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.6, 0.8]])
    found = moved_prototypes(prototypes, z, torch.tensor([1, 2, 1]), momentum=0.8)
    first = torch.tensor([0.64 + 0.12, 0.16 + 0.16])
    second = torch.tensor([0.2, -0.8])
    expected = [torch.zeros(2), first / first.norm(), second / second.norm()]
    torch.testing.assert_close(found, torch.stack(expected))


def test_prototypes_are_those_of_a_row_at_a_time_for_one_row_a_class():
    prototypes, z = unit(4, 6, dtype=torch.float64), unit(3, 6, seed=1, dtype=torch.float64)
    found = moved_prototypes(prototypes, z, torch.tensor([3, 0, 2]), momentum=0.95)
    expected = prototypes.clone()
    for row, label in zip(z, (3, 0, 2), strict=True):
        moved = 0.95 * expected[label] + 0.05 * row
        expected[label] = moved / moved.norm()
    torch.testing.assert_close(found, expected)


def test_first_row_of_a_class_becomes_its_prototype():
    z = unit(1, 6)
    found = moved_prototypes(torch.zeros(2, 6), z, torch.tensor([1]), momentum=0.95)
    torch.testing.assert_close(found, torch.cat([torch.zeros(1, 6), z]))


def test_dispersion_by_hand():
    """Cosines 0 (1 and 2), -1 (1 and 3), 0 (2 and 3) at temperature .5."""
    prototypes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    expected = (2 * math.log((1 + math.exp(-2)) / 2) + math.log(1)) / 3
    found = dispersion(prototypes, temperature=0.5)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_dispersion_reaches_embeddings_through_the_prototypes():
    """Its gradient, by central differences in float64."""
    prototypes, labels = unit(3, 4, dtype=torch.float64), torch.tensor([0, 2, 0, 1])
    z = unit(4, 4, seed=1, dtype=torch.float64).requires_grad_()

    def of(rows):
        return dispersion(moved_prototypes(prototypes, rows, labels, momentum=0.9), temperature=0.1)

    assert torch.autograd.gradcheck(of, z)
    assert torch.autograd.grad(of(z), z)[0].norm(dim=1).min() > 1e-3


def test_synthesised_are_those_of_brute_force_in_float64():
    """Features of lengths of their own: distances are of unit vectors, outliers keep theirs."""
    lengths = 0.5 + 5 * torch.rand(20, 1, generator=stream(2))
    queue, noise = lengths * unit(20, 6), torch.randn(15, 6, generator=stream(1))
    picks, sigma, neighbours, kept = torch.tensor([4, 0, 2]), 0.3, 5, 3
    found = synthesise(
        queue, picks, noise, sigma=sigma, neighbours=neighbours, boundary=6, kept=kept
    )
    rows, steps = queue.double().numpy(), noise.double().numpy()
    directions = rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def distance(point):
        away = directions - point / np.linalg.norm(point)
        return np.sort(np.linalg.norm(away, axis=1))[neighbours - 1]

    outermost = sorted(range(20), key=lambda row: -distance(rows[row]))[:6]
    expected = []
    for pick in picks:
        moved = rows[outermost[pick]] + sigma * steps
        expected += sorted(moved, key=lambda point: -distance(point))[:kept]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_outliers_of_a_class_depend_on_its_own_queue_alone():
    """In whatever parts classes are taken, each equals a call for it alone."""
    model = NPOS(Flat(5), classes=23, **SETTINGS)
    model.queue.features.copy_(3 * unit(23, 4, 5))
    found = model.outliers(stream(3)).reshape(23, -1, 5)
    assert found.shape[1] == 2 * 2  # points x kept
    rng = stream(3)
    order = torch.rand(23, 3, generator=rng).argsort(1)[:, :2]
    noise = torch.randn(20, 5, generator=rng)
    for label in (0, 9, 10, 22):
        alone = synthesise(
            model.queue.features[label], order[label], noise,
            sigma=0.1, neighbours=2, boundary=3, kept=2,
        )  # fmt: skip
        torch.testing.assert_close(found[label], alone)


def test_loss_by_hand_in_float64(monkeypatch):
    """Every term from z, the moved prototypes and phi of the features; the outliers are given."""
    model = tiny(queue=2, boundary=2)
    model.prototypes.copy_(unit(3, 5, seed=1))
    outliers = unit(4, 16, seed=2)
    monkeypatch.setattr(model, "outliers", lambda rng: outliers)
    x, y = batch()
    before = model.prototypes.double()
    terms = model.loss(x, y, step_of(4))
    with torch.no_grad():
        features = model.network(x)
        z, phi = model.embed(features).double(), model.phi.double()
        id_logits, ood_logits = phi(features.double())[:, 0], phi(outliers.double())[:, 0]
    mu = moved_prototypes(before, z, y, momentum=0.95)
    compact = -(z @ mu.T / 0.1).log_softmax(1)[range(6), y].mean()
    similar = (mu @ mu.T / 0.1).exp()
    disperse = ((similar.sum(1) - similar.diagonal()) / 2).log().mean()
    ood = -(torch.cat([id_logits, -ood_logits]).sigmoid().log()).mean()
    expected = {"compactness": compact, "dispersion": disperse, "ood": ood}
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-4)
    total = compact + 0.5 * disperse + 0.1 * ood
    assert terms["loss"].item() == pytest.approx(total.item(), rel=1e-4)
    torch.testing.assert_close(model.prototypes, mu.float(), atol=1e-5, rtol=1e-4)


def test_compactness_takes_the_prototypes_as_given():
    """Without dispersion and outliers the gradient is that of CE to constant prototypes."""
    model = tiny(dispersion_weight=0.0)
    x, y = batch()
    (found,) = torch.autograd.grad(model.loss(x, y, step_of(0))["loss"], model.projection[2].weight)
    alone = F.cross_entropy(model(x), y)  # of the prototypes that the loss has moved
    (expected,) = torch.autograd.grad(alone, model.projection[2].weight)
    torch.testing.assert_close(found, expected)


def test_dispersion_in_the_loss_reaches_the_network():
    model, x = tiny(), batch()[0]
    y, weight = torch.tensor([0, 0, 1, 2, 2, 2]), model.projection[2].weight
    model.prototypes.copy_(unit(3, 5))
    before = model.prototypes.clone()
    (found,) = torch.autograd.grad(model.loss(x, y, step_of(0))["dispersion"], weight)
    z = model.embed(model.network(x))
    moved = moved_prototypes(before, z, y, momentum=0.95)
    (expected,) = torch.autograd.grad(dispersion(moved, temperature=0.1), weight)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected)


def test_no_outliers_before_the_start():
    model = tiny()
    x, y = batch()
    terms = model.loss(x, y, step_of(3))
    assert terms["ood"].item() == 0
    terms["loss"].backward()
    assert model.phi[0].weight.grad is None
    assert model.queue.seen.tolist() == [2, 2, 2]


def test_queue_that_is_not_full_at_the_start_is_refused():
    x, _ = batch()
    with pytest.raises(ValueError, match=r"npos.queue must be at most .* got 4 for 0 of class 1"):
        tiny().loss(x, torch.tensor([0, 0, 0, 0, 2, 2]), step_of(4))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"neighbours": 5},
            "npos.neighbours must be at most detector.npos.queue, got 5 for 4",
        ),
        (
            {"boundary": 5},
            "npos.boundary must be at most detector.npos.queue, got 5 for 4",
        ),
        ({"points": 4}, "npos.points must be at most detector.npos.boundary, got 4 for 3"),
        (
            {"kept": 21},
            "npos.kept must be at most detector.npos.candidates, got 21 for 20",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(more, message):
    with pytest.raises(ValueError, match=message):
        tiny(**more)


def test_outputs_are_logits_of_prototypes_penultimate_features_and_phi():
    model = tiny().eval()
    model.prototypes.copy_(unit(3, 5))
    x, _ = batch()
    found = model.outputs(x)
    features = model.network.penultimate(x)
    z = F.normalize(model.projection(features), dim=1)
    torch.testing.assert_close(found["features"], features)
    torch.testing.assert_close(found["logits"], z @ model.prototypes.T / 0.1)
    torch.testing.assert_close(model(x), found["logits"])
    torch.testing.assert_close(found["id_logit"], model.phi(features)[:, 0])


def test_bf16_leaves_features_and_neighbours_in_float32():
    model, given = tiny(queue=2, boundary=2), []
    model.phi.register_forward_hook(lambda phi, rows, found: given.append(rows[0]))
    with torch.autocast("cpu", torch.bfloat16):
        model.loss(*batch(), step_of(4))
    assert model.queue.features.dtype == given[0].dtype == torch.float32
    assert torch.equal(given[0][:6], model.queue.features.flatten(0, 1))
    assert torch.equal(given[0][6:], model.outliers(stream(4)))


def test_phi_has_a_rate_of_its_own_and_is_clipped_alone():
    """Their gradients are 3 in every weight, the rate .1 without momentum."""
    model = tiny(phi_lr=4.0)
    (sgd,) = model.optimisers(Recipe(1, 1, 0.1, 0, 0, False, None, momentum=0.0))
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.full_like(weight, 3.0)
    clip_gradients(sgd, None)
    sgd.step()
    moved = {name: value.detach() - before[name] for name, value in model.named_parameters()}
    phi = torch.cat([moved.pop(name).flatten() for name in before if name.startswith("phi.")])
    assert phi.norm().item() == pytest.approx(4 * 0.1, rel=1e-4)
    for step in moved.values():
        torch.testing.assert_close(step, torch.full_like(step, -0.3))


def test_phi_tells_pictures_of_the_classes_from_its_own_outliers_and_from_elsewhere():
    """Four classes of features, 3 from the origin in twelve dimensions: fresh pictures of them are
    ranked above the outliers that phi is trained on, and above other directions of that length,
    of which only the outliers speak."""
    centres = 3 * torch.linalg.qr(torch.randn(12, 12, generator=stream())).Q[:4]

    def pictures(count, seed):
        noise = 0.3 * torch.randn(count, 12, generator=stream(seed))
        labels = torch.arange(count) % 4
        return (centres[labels] + noise).reshape(count, 3, 2, 2), labels

    (x, labels), (fresh, fresh_labels) = pictures(120, 1), pictures(400, 2)
    far = 3 * unit(2000, 12, seed=3)
    far = far[(F.normalize(far, dim=1) @ F.normalize(centres, dim=1).T).amax(1) < 0.5]
    auroc = {}
    for start in (1.0, 0.2):  # 1: without outliers
        torch.manual_seed(0)
        settings = {
            "embedding": 16, "queue": 30, "neighbours": 10, "boundary": 10, "points": 10,
            "candidates": 30, "kept": 4, "sigma": 1.0, "phi_lr": 5.0, "start": start,
        }  # fmt: skip
        model = NPOS(Flat(12), classes=4, **SETTINGS | settings)
        (sgd,) = model.optimisers(Recipe(1, 1, 0.1, 0, 0, False, None))
        first_lrs = [group["lr"] for group in sgd.param_groups]
        for number in range(100):
            for group, lr in zip(sgd.param_groups, first_lrs, strict=True):
                group["lr"] = cosine_lr(number, 100, lr)
            sgd.zero_grad()
            model.loss(x, labels, step_of(number, 100))["loss"].backward()
            sgd.step()
        with torch.no_grad():
            found, own = model.outputs(fresh), model.outliers(stream(9))
            assert (found["logits"].argmax(1) == fresh_labels).float().mean() > 0.95
            for name, others in (("own", own), ("far", far)):
                scores = torch.cat([found["id_logit"], model.phi(others)[:, 0]])
                auroc[start, name] = roc_auc_score(np.arange(len(scores)) < 400, scores)
    assert max(auroc[1.0, "own"], auroc[1.0, "far"]) < 0.8
    assert auroc[0.2, "own"] > 0.9
    assert auroc[0.2, "far"] > 0.95
