import math

import numpy as np
import pytest
import torch
from pytorch_ood import detector as peer
from safetensors.torch import load, save
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from bood_tasks.catalogue.scores import SCORES
from bood_tasks.detectors.confidence import energy, msp
from bood_tasks.detectors.method import Method
from bood_tasks.scoring.posthoc.base import Outputs
from bood_tasks.scoring.posthoc.mahalanobis import (
    fit_mahalanobis,
    fit_weights,
    mahalanobis,
    mahalanobis_ensemble,
)
from bood_tasks.scoring.posthoc.neighbours import fit_knn, knn
from bood_tasks.scoring.posthoc.shaping import fit_dice, fit_react, react
from bood_tasks.scoring.posthoc.table import score_named
from bood_tasks.scoring.posthoc.vim import fit_vim, vim, vim_dimension
from bood_tasks.scoring.scores import of_pictures

POSTHOC = [name for name, entry in SCORES.items() if not (entry.gradients or entry.output)]
SETTINGS = {
    "knn": {"neighbours": 5},
    "vim": {"dimension": None},
    "react": {"percentile": 90.0},
    "dice": {"sparsity": 70.0},
    "gen": {"gamma": 0.1, "classes": 3},
    "nnguide": {"neighbours": 5, "share": 1.0},
    "ash": {"variant": "s", "percentile": 70.0},
    "scale": {"percentile": 70.0},
}


def classifier(width=12, classes=4):
    torch.manual_seed(0)
    return nn.Linear(width, classes)


def outputs(rows, head, *, seed, spread=1.0):
    """Return outputs of clustered, rectified features; the labels are their clusters."""
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randn(4, head.in_features, generator=torch.Generator().manual_seed(9))
    labels = torch.arange(rows) % 4
    noise = torch.randn(rows, head.in_features, generator=rng)
    features = (1 + centres[labels] + spread * noise).relu()
    stages = (features[:, :3].square(), noise[:, :5].abs())
    return Outputs(features, head(features).detach(), stages, labels, head)


@pytest.fixture
def head():
    return classifier()


@pytest.fixture
def training(head):
    return outputs(200, head, seed=1)


@pytest.fixture
def test(head):
    return outputs(40, head, seed=2, spread=2.0)


def named(name, **more):
    return score_named(name, SETTINGS.get(name, {}) | more)


def fitted(name, training):
    fit = named(name).fit
    state = fit(training) if fit else {}
    if name == "mahalanobis_ensemble":
        outside = outputs(60, training.head, seed=7, spread=3.0)
        state = fit_weights(state, outputs(80, training.head, seed=6), outside)
    return state


def test_energy_and_msp_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, 5.0]])
    assert energy(logits).tolist() == pytest.approx([math.log(4), 5 + math.log(2)])
    assert msp(logits).tolist() == pytest.approx([math.log(0.75 / 0.25), 0])
    three = torch.tensor([[0.0, 0.0, math.log(2.0)]])  # S = 1/2 of v = 3
    assert msp(three).tolist() == pytest.approx([math.log(2)])


@pytest.mark.parametrize("temperature", [1.0, 1000.0])
def test_msp_has_the_order_of_the_float64_probability(temperature):
    logits = 4 * torch.randn(500, 10, generator=torch.Generator().manual_seed(0))
    exact = (logits.double() / temperature).softmax(1).amax(1)
    assert torch.equal(msp(logits, temperature=temperature).argsort(), exact.argsort())


def test_msp_has_no_ties_where_float32_softmax_has():
    sure = torch.tensor([[40.0, 0.0, 0.0], [41.0, 0.0, 0.0], [200.0, 0.0, 0.0]])
    flat = torch.tensor([[1.0, 0.0, 0.0], [1.0001, 0.0, 0.0]])
    assert (sure.softmax(1).amax(1) == 1).all()
    assert len((flat / 1e4).softmax(1).amax(1).unique()) == 1
    assert (msp(sure).diff() > 0).all()
    assert msp(sure).isfinite().all()
    assert (msp(flat, temperature=1e4).diff() > 0).all()


def test_mahalanobis_by_hand():
    """Two classes on a line through x; variances 1 and 4 within them."""
    points = [[0, 0], [2, 4], [0, 4], [2, 0], [10, 0], [12, 4], [10, 4], [12, 0]]
    features = torch.tensor(points, dtype=torch.float32)
    labels = torch.tensor([0] * 4 + [1] * 4)
    state = fit_mahalanobis(Outputs(features, features, labels=labels))
    asked = torch.tensor([[1.0, 2.0], [11.0, 6.0], [4.0, 2.0]])
    assert mahalanobis(Outputs(asked, asked), state).tolist() == pytest.approx([0, -4, -9])


def test_mahalanobis_follows_the_float64_inverse(training, test):
    f, x = training.features.double().numpy(), test.features.double().numpy()
    labels = training.labels.numpy()
    means = np.stack([f[labels == c].mean(0) for c in range(4)])
    precision = np.linalg.inv(np.cov((f - means[labels]).T, bias=True))
    away = x[:, None] - means
    expected = -np.einsum("ncp,pq,ncq->nc", away, precision, away).min(1)
    found = mahalanobis(test, fit_mahalanobis(training))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_a_moved_picture_is_nearer_as_autograd_of_the_quadratic_form_says(training):
    """Lee et al. 2018b, equation 4: x + eps sign(grad of the nearest class's -(f - mu) P (f - mu)).

    The network is one linear layer, features W x; the reference is written out in float64.
    """
    rng = np.random.default_rng(4)
    f, labels = training.features.double().numpy(), training.labels.numpy()
    means = np.stack([f[labels == c].mean(0) for c in range(4)])
    precision = np.linalg.inv(np.cov((f - means[labels]).T, bias=True))
    weight = torch.from_numpy(rng.normal(0, 1, (f.shape[1], 12)))
    x = torch.from_numpy(rng.normal(0, 1, (9, 3, 2, 2)))

    def quadratic(pictures):
        away = (pictures.flatten(1) @ weight.T)[:, None] - torch.from_numpy(means)
        return -torch.einsum("ncp,pq,ncq->nc", away, torch.from_numpy(precision), away)

    start = x.clone().requires_grad_()
    nearest = quadratic(start).argmax(1)
    quadratic(start).gather(1, nearest[:, None]).sum().backward()
    expected = [quadratic(x + eps * start.grad.sign()).amax(1) for eps in (0.0, 0.02)]

    class Linear(Method):
        def __init__(self):
            super().__init__(torch.nn.Identity(), classes=4)

        def outputs(self, pictures):
            return {"features": pictures.flatten(1) @ weight.float().T}

    state = fit_mahalanobis(training)
    found = of_pictures(Linear(), x.float(), {"score": "mahalanobis"}, [0.0, 0.02], state)
    np.testing.assert_allclose(found.numpy(), torch.stack(expected, 1).numpy(), rtol=1e-4)
    assert (found[:, 1] > found[:, 0]).all()


def test_mahalanobis_ignores_dead_and_doubled_channels(training, test):
    def wider(outputs, dead):
        f = outputs.features
        return Outputs(
            torch.cat([f, f[:, :1], torch.full((len(f), 2), dead)], 1), outputs.logits,
            labels=outputs.labels,
        )  # fmt: skip

    state = fit_mahalanobis(wider(training, 0.0))
    assert state["whitening"].shape == (15, 12)
    found = mahalanobis(wider(test, 3.0), state)  # they fire at last
    plain = mahalanobis(test, fit_mahalanobis(training))
    # The doubled channel is the same direction, longer.
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-4)


def test_ensemble_is_a_weighted_sum_of_each_stage(training, test):
    state = fitted("mahalanobis_ensemble", training)
    stages = [
        mahalanobis(
            Outputs(asked, asked), fit_mahalanobis(Outputs(seen, seen, labels=training.labels))
        ).double()
        for seen, asked in zip(
            (*training.stages, training.features), (*test.stages, test.features), strict=True
        )
    ]
    expected = torch.stack(stages, 1) @ state["weights"] + state["offset"]
    torch.testing.assert_close(mahalanobis_ensemble(test, state), expected.float())


def test_ensemble_is_the_regression_on_standardised_scores(training):
    """The weights are folded: for raw scores, they give what scaling and regression give."""
    state = score_named("mahalanobis_ensemble").fit(training)
    inside, outside = (outputs(rows, training.head, seed=rows) for rows in (60, 90))
    moved = Outputs(outside.features, outside.logits, (outside.stages[0] + 99, outside.stages[1]))
    state = fit_weights(state, inside, moved)
    zero = torch.zeros((), dtype=torch.float64)
    table = np.concatenate(
        [
            [
                mahalanobis_ensemble(side, state | {"weights": only, "offset": zero}).numpy()
                for only in torch.eye(3).double()
            ]
            for side in (inside, moved)
        ],
        axis=1,
    ).T
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    expected = pipeline.fit(table, np.arange(150) < 60).decision_function(table)
    found = torch.cat([mahalanobis_ensemble(side, state) for side in (inside, moved)])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-3)
    assert found[:60].min() > found[60:].max()


def test_knn_by_hand():
    """Unit circle: neighbours at angles 0, 90 and 180 degrees, whatever their lengths."""
    features = torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0]])
    asked = torch.tensor([[7.0, 0.0], [0.0, 0.0]])
    for k, expected in ((1, 0), (2, -math.sqrt(2)), (3, -2)):
        state = fit_knn(Outputs(features, features), neighbours=k)
        found = knn(Outputs(asked, asked), state).tolist()
        assert found == pytest.approx([expected, -math.sqrt(2)])


@pytest.mark.parametrize("neighbours", [1, 7, 30, 198, 199])
def test_knn_follows_sorted_float64_distances(head, test, neighbours):
    training = outputs(199, head, seed=1)  # a prime: no number of groups divides it
    rows, asked = (
        nn.functional.normalize(side.features.double(), dim=1) for side in (training, test)
    )
    expected = -torch.cdist(asked, rows).sort(1).values[:, neighbours - 1]
    found = knn(test, fit_knn(training, neighbours=neighbours))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_knn_does_not_depend_on_its_blocks(training, test, monkeypatch):
    state = fit_knn(training, neighbours=5)
    whole = knn(test, state)
    monkeypatch.setattr("bood_tasks.scoring.posthoc.neighbours.SIMILARITIES", 3 * 200)
    torch.testing.assert_close(knn(test, state), whole)


def test_vim_follows_its_equations_in_float64(training, test):
    weight, bias = (value.detach().double().numpy() for value in training.head.parameters())
    f, x = training.features.double().numpy(), test.features.double().numpy()
    origin = -np.linalg.pinv(weight) @ bias
    _, _, axes = np.linalg.svd(f - origin)
    rest = np.eye(12) - axes[:5].T @ axes[:5]
    alpha = (f @ weight.T + bias).max(1).mean() / np.linalg.norm((f - origin) @ rest, axis=1).mean()
    logits = x @ weight.T + bias
    expected = np.log(np.exp(logits).sum(1)) - alpha * np.linalg.norm((x - origin) @ rest, axis=1)
    found = vim(test, fit_vim(training, dimension=5))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_vim_s_space_is_float64_s_where_its_variances_are_small():
    """Of twelve channels the last varies by 1e-6 of the first: float32 products tell it not."""
    random = torch.Generator().manual_seed(0)
    features = torch.randn(400, 12, generator=random) * torch.logspace(0, -6, 12)
    features = features @ torch.linalg.qr(torch.randn(12, 12, generator=random)).Q
    head = classifier()
    state = fit_vim(Outputs(features, head(features).detach(), head=head), dimension=8)
    exact = features.double()
    _, axes = torch.linalg.eigh((exact - state["origin"]).T @ (exact - state["origin"]))
    ours = state["residual"] @ state["residual"].T
    torch.testing.assert_close(ours, axes[:, :4] @ axes[:, :4].T, rtol=0, atol=1e-6)


def test_vim_dimension_by_width():
    assert [vim_dimension(width) for width in (2048, 768, 512, 16)] == [1000, 512, 256, 8]


def test_react_clips_at_the_percentile_of_all_activations(training, test):
    state = fit_react(training, percentile=90.0)
    assert (training.features > state["clip"]).float().mean() == pytest.approx(0.1, abs=1e-3)
    expected = energy(training.head(test.features.clamp(max=state["clip"].item()))).detach()
    torch.testing.assert_close(react(test, state), expected)


def test_dice_keeps_the_largest_contributions():
    """Contributions mean * weight: the small weight of the busy channel stays."""
    head = nn.Linear(2, 2)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 5.0], [-3.0, 0.5]]))
    features = torch.tensor([[8.0, 1.0], [12.0, 1.0]])  # contributions 10, 5, -30, .5
    state = fit_dice(Outputs(features, features, head=head), sparsity=50.0)
    assert state["weight"].tolist() == [[1, 5], [0, 0]]


@pytest.mark.parametrize("name", POSTHOC)
def test_a_stored_state_scores_the_same(name, training, test):
    state = fitted(name, training)
    found = named(name).score(test, state)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert torch.equal(named(name).score(test, load(save(state))), found)


@pytest.mark.parametrize("name", POSTHOC)
def test_scores_follow_the_rows_whatever_the_blocks(name, training, test, monkeypatch):
    whole = named(name).score(test, fitted(name, training))
    monkeypatch.setattr("bood_tasks.scoring.posthoc.base.ROWS", 7)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    shuffled = Outputs(
        test.features[order], test.logits[order], tuple(stage[order] for stage in test.stages)
    )
    found = named(name).score(shuffled, fitted(name, training))
    torch.testing.assert_close(found, whole[order], rtol=1e-5, atol=1e-5)


def peer_scores(name, training, test):
    """Return pytorch-ood's score; its larger is more OOD."""
    weight, bias = training.head.weight, training.head.bias
    flat = nn.Sequential(nn.Flatten(), training.head)
    match name:
        case "msp":
            return peer.MaxSoftmax.score(test.logits.double())
        case "energy":
            return peer.EnergyBased.score(test.logits)
        case "mahalanobis":
            found = peer.Mahalanobis(None)
        case "knn":
            found = peer.KNN(None, k=5)
        case "vim":
            found = peer.ViM(None, d=6, w=weight, b=bias)
        case "react":
            found = peer.ReAct(None, training.head, percentile=0.9)
            found.fit_feature_maps(training.features, training.labels)
            return found.predict_feature_maps(test.features)
        case "dice":
            found = peer.DICE(None, weight, bias, p=0.7)
        case "max_logit":
            return peer.MaxLogit.score(test.logits)
        case "gen":
            return peer.GEN.score(test.logits.double(), gamma=0.1, M=3)
        case "klm":
            found = peer.KLMatching(None).fit_logits(training.logits.double())
            return found.predict_logits(test.logits.double())
        case "rmds":
            found = peer.RMD(None)
        case "nnguide":
            found = peer.NNGuide(None, training.head, k=5)
        case "fdbd":
            found = peer.fDBD(None, training.head)
        case "gradnorm":
            return peer.GradNorm(training.head, lambda name: name == "weight").predict(
                test.features
            )
        case "ash":
            found = peer.ASH(None, flat, variant="ash-s", percentile=0.7)
            return found.predict_feature_maps(test.features[:, :, None, None])
        case "scale":
            found = peer.SCALE(None, flat, percentile=0.7)
            return found.predict_feature_maps(test.features[:, :, None, None])
    return found.fit_features(training.features, training.labels).predict_features(test.features)


# SHE's peer needs a classifier that is often right: test_closed_forms.
@pytest.mark.parametrize("name", sorted(set(POSTHOC) - {"mahalanobis_ensemble", "she"}))
def test_score_ranks_as_pytorch_ood(name, training, test):
    expected = peer_scores(name, training, test).argsort(descending=True)
    assert torch.equal(named(name).score(test, fitted(name, training)).argsort(), expected)


def test_more_neighbours_than_pictures_are_refused(training):
    with pytest.raises(ValueError, match=r"neighbours must be at most 200, .* got 201; lower it"):
        fit_knn(training, neighbours=201)


@pytest.mark.parametrize(("dead", "rank"), [(0, 12), (8, 5)])
def test_a_principal_space_without_residual_is_refused(training, dead, rank):
    """The origin alone reaches into dead channels: one dimension for all of them."""
    features = training.features.clone()
    features[:, :dead] = 0
    silent = Outputs(features, training.logits, head=training.head)
    with pytest.raises(ValueError, match=rf"dimension must be below {rank}, .* got 12; lower it"):
        fit_vim(silent, dimension=12)
    usual = fit_vim(silent, dimension=None)["residual"]
    assert usual.shape == (12, 6 if rank == 12 else 10)
