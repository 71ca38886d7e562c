"""GEN, KLM, SHE, RMDS, fDBD, GradNorm, NNGuide and i-ODIN, by hand and in float64."""

import math

import numpy as np
import pytest
import torch
from pytorch_ood.detector import SHE
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import entropy
from torch import nn

from bood_tasks.scoring.posthoc.base import Outputs
from bood_tasks.scoring.posthoc.boundary import fdbd, fit_fdbd, gradnorm
from bood_tasks.scoring.posthoc.logits import gen
from bood_tasks.scoring.posthoc.mahalanobis import fit_rmds, rmds
from bood_tasks.scoring.posthoc.neighbours import fit_nnguide, nnguide
from bood_tasks.scoring.posthoc.odin import iodin, steepest_alone
from bood_tasks.scoring.posthoc.patterns import fit_klm, fit_she, klm, she
from bood_tasks.scoring.posthoc.table import score_named
from tests.scoring.test_posthoc import classifier, outputs


@pytest.fixture
def training():
    return outputs(200, classifier(), seed=1)


@pytest.fixture
def test():
    return outputs(40, classifier(), seed=2, spread=2.0)


def in_float64(found: Outputs) -> tuple[np.ndarray, np.ndarray]:
    return found.features.double().numpy(), found.logits.double().numpy()


def test_max_logit_by_hand():
    logits = torch.tensor([[1.0, -7.0, 3.0], [0.0, 0.0, -1.0]])
    assert score_named("max_logit").score(Outputs(logits, logits), {}).tolist() == [3, 0]


def test_gen_by_hand():
    """p = 1/2, 1/4, 1/4 and gamma 1: 1/4 + 3/16 of the two largest."""
    logits = torch.tensor([[math.log(2), 0.0, 0.0]])
    outputs = Outputs(logits, logits)
    assert gen(outputs, {}, gamma=1.0, classes=2).tolist() == pytest.approx([-7 / 16])
    assert gen(outputs, {}, gamma=1.0, classes=100).tolist() == pytest.approx([-10 / 16])


def test_gen_tells_sure_samples_apart():
    """1 - p is 1e-18 and less, which float64 rounds to 0 beside 1."""
    logits = torch.tensor([[40.0, 0.0, 0.0], [42.0, 0.0, 0.0], [60.0, 0.0, 0.0]])
    found = gen(Outputs(logits, logits), {}, gamma=0.1, classes=100)
    q = np.exp(-logits[:, 0].double().numpy())  # of each of the two others; p of the first is 1
    np.testing.assert_allclose(found, -((2 * q) ** 0.1 + 2 * q**0.1), rtol=1e-6)
    alone = gen(Outputs(logits, logits), {}, gamma=0.1, classes=1)
    np.testing.assert_allclose(alone, -((2 * q) ** 0.1), rtol=1e-6)


def test_klm_by_hand():
    """Into class 0 go p = (3/4, 1/4) and (1, 0) nearly: typical is (7/8, 1/8). Into 1 goes none."""
    seen = torch.tensor([[math.log(3), 0.0], [50.0, 0.0]])
    state = fit_klm(Outputs(seen, seen))
    assert state["log_typical"].exp().tolist() == [pytest.approx([7 / 8, 1 / 8])]
    asked = torch.tensor([[0.0, 0.0], [math.log(7), 0.0]])
    expected = -(0.5 * math.log(0.5 / (7 / 8)) + 0.5 * math.log(0.5 / (1 / 8)))
    assert klm(Outputs(asked, asked), state).tolist() == pytest.approx([expected, 0], abs=1e-7)


def test_klm_follows_scipy_in_float64(training, test):
    seen, p = (softmax(in_float64(side)[1], 1) for side in (training, test))
    typical = [seen[seen.argmax(1) == k].mean(0) for k in np.unique(seen.argmax(1))]
    expected = [-min(entropy(row, d) for d in typical) for row in p]
    np.testing.assert_allclose(klm(test, fit_klm(training)), expected, rtol=1e-5, atol=1e-7)


def test_she_by_hand():
    """The wrong third sample is no part of class 0's pattern, the mean of the first two."""
    features = torch.tensor([[1.0, 0.0], [3.0, 0.0], [9.0, 9.0], [0.0, 2.0]])
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    state = fit_she(Outputs(features, logits, labels=torch.tensor([0, 0, 0, 1])))
    assert state["patterns"].tolist() == [[2, 0], [0, 2]]
    asked = Outputs(torch.tensor([[5.0, 7.0], [5.0, 7.0]]), torch.tensor([[1.0, 0], [0, 1]]))
    assert she(asked, state).tolist() == [10, 14]


def test_she_follows_pytorch_ood_s_where_some_are_wrong(training, test):
    head, labels = classifier(), training.labels
    centres = torch.stack([training.features[labels == c].mean(0) for c in range(4)])
    with torch.no_grad():
        head.weight.copy_(centres)
        head.bias.copy_(-centres.square().sum(1) / 2)
    seen, asked = (Outputs(side.features, head(side.features).detach(), labels=side.labels)
                   for side in (training, test))  # fmt: skip
    right = (seen.logits.argmax(1) == labels).float().mean()
    assert 0.5 < right < 1
    peer = SHE(None, head).fit_features(seen.features, labels)
    expected = -peer.predict_features(asked.features)
    torch.testing.assert_close(she(asked, fit_she(seen)), expected, rtol=1e-5, atol=1e-5)


def test_she_says_of_which_class_none_is_right(capsys):
    features = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]])
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    state = fit_she(Outputs(features, logits, labels=torch.tensor([0, 1, 1])))
    assert state["patterns"].tolist() == [[1, 0], [1.5, 3]]
    assert "no training sample of classes [1] is classified rightly" in capsys.readouterr().err
    with pytest.raises(ValueError, match="samples of every class, got none of class 1"):
        fit_she(Outputs(features, logits, labels=torch.zeros(3, dtype=torch.int64)))


def test_rmds_by_hand():
    """Classes at -1 and 1, variance 1 within, 2 in all: x = 2 is 1 from its class, 4/2 from all."""
    features = torch.tensor([[-2.0], [0.0], [0.0], [2.0]])
    state = fit_rmds(Outputs(features, features, labels=torch.tensor([0, 0, 1, 1])))
    asked = torch.tensor([[2.0], [0.0], [-6.0]])
    expected = [2 - 1, 0 - 1, 18 - 25]
    assert rmds(Outputs(asked, asked), state).tolist() == pytest.approx(expected)


def test_rmds_follows_the_float64_inverses(training, test):
    f, x = in_float64(training)[0], in_float64(test)[0]
    labels = training.labels.numpy()
    means = np.stack([f[labels == c].mean(0) for c in range(4)])

    def squared(away, spread):
        precision = np.linalg.inv(np.cov(spread.T, bias=True))
        return np.einsum("n...p,pq,n...q->n...", away, precision, away)

    near = squared(x[:, None] - means, f - means[labels]).min(1)
    expected = squared(x - f.mean(0), f - f.mean(0)) - near
    np.testing.assert_allclose(rmds(test, fit_rmds(training)), expected, rtol=1e-5, atol=1e-5)


def plane(weight, bias=(0.0, 0.0, 0.0)) -> nn.Linear:
    """A last layer of features of two channels."""
    head = nn.Linear(2, len(weight))
    with torch.no_grad():
        head.weight.copy_(torch.tensor(weight))
        head.bias.copy_(torch.tensor(bias[: len(weight)]))
    return head


def test_fdbd_by_hand():
    """x = (4, 0): the boundaries to y = x and to -x = x are 4/sqrt(2) and 4 away; the mean is 5."""
    head = plane([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    seen = torch.tensor([[4.0, 4.0], [4.0, 6.0]])
    state = fit_fdbd(Outputs(seen, head(seen).detach(), head=head))
    asked = torch.tensor([[4.0, 0.0]])
    found = fdbd(Outputs(asked, head(asked).detach()), state)
    assert found.tolist() == pytest.approx([(4 / math.sqrt(2) + 4) / 2 / 5])


def test_classes_without_a_boundary_between_them_are_named():
    head = plane([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], (0.0, 0.0, 2.0))
    seen = torch.ones(3, 2)
    with pytest.raises(ValueError, match="got the same for classes 0 and 2; leave the score out"):
        fit_fdbd(Outputs(seen, head(seen).detach(), head=head))


def test_gradnorm_is_autograd_s(test):
    """The L1 norm of the gradient of KL(uniform, softmax), sample by sample in float64."""
    head, expected = classifier().double(), []
    for row in test.features.double():
        loss = -head(row).log_softmax(0).mean()
        (gradient,) = torch.autograd.grad(loss, head.weight)
        expected.append(gradient.abs().sum().item())
    np.testing.assert_allclose(gradnorm(test, {}), expected, rtol=1e-5)


def test_gradnorm_by_hand():
    """|f| = 5, p = (3/4, 1/4): 1/4 + 1/4 away from the half."""
    outputs = Outputs(torch.tensor([[2.0, -3.0]]), torch.tensor([[math.log(3), 0.0]]))
    assert gradnorm(outputs, {}).tolist() == pytest.approx([2.5])


def test_nnguide_by_hand():
    """Right angles, energies 1, 2 and 3 of the bank; the two best products with (1, 1) count."""
    features = torch.tensor([[5.0, 0.0], [0.0, 1.0], [-2.0, 0.0]])
    state = fit_nnguide(Outputs(features, torch.tensor([[1.0], [2.0], [3.0]])),
                        neighbours=2, share=1.0)  # fmt: skip
    asked = Outputs(torch.tensor([[3.0, 3.0]]), torch.tensor([[10.0]]))
    assert nnguide(asked, state).tolist() == pytest.approx([10 * 1.5 / math.sqrt(2)])


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_nnguide_follows_float64(training, test, share):
    f, z = in_float64(training)
    x, y = in_float64(test)
    taken = np.arange(round(share * 200)) * 200 // round(share * 200)
    bank = (f / np.linalg.norm(f, axis=1, keepdims=True) * logsumexp(z, 1)[:, None])[taken]
    products = (x / np.linalg.norm(x, axis=1, keepdims=True)) @ bank.T
    expected = np.sort(products, 1)[:, -7:].mean(1) * logsumexp(y, 1)
    found = nnguide(test, fit_nnguide(training, neighbours=7, share=share))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_more_neighbours_than_the_share_holds_are_refused(training):
    with pytest.raises(ValueError, match=r"nnguide\.neighbours must be at most 20, .* got 21"):
        fit_nnguide(training, neighbours=21, share=0.1)


def test_one_number_of_the_picture_alone_takes_i_odin_s_step():
    gradient = torch.tensor([[0.5, -3.0, 1.0], [2.0, 0.0, -1.0]]).view(2, 3, 1, 1)
    assert steepest_alone(gradient).flatten().tolist() == [0, -1, 0, 1, 0, 0]


def test_i_odin_by_hand():
    """Logits x and 0, of x = w p: the pixel of weight 3 alone moves, up where x is sure of class 0,
    down where of class 1; at T = 2 the log-odds of two classes are |x| / 2."""
    weight = torch.tensor([1.0, 3.0, -2.0]).view(1, 3, 1, 1)

    def model(pictures):
        logit = (pictures * weight).sum((1, 2, 3))
        return torch.stack([logit, torch.zeros_like(logit)], 1)

    x = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]]).view(2, 3, 1, 1)
    found = iodin(model, x, [0.0, 0.1], temperature=2.0)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.65], [0.5, 0.65]]))


def test_log_probabilities_are_what_klm_says_they_are(training):
    state = fit_klm(training)
    log_p = log_softmax(in_float64(training)[1], 1)
    first = np.unique(log_p.argmax(1))[0]
    mean = np.exp(log_p[log_p.argmax(1) == first]).mean(0)
    np.testing.assert_allclose(state["log_typical"][0], np.log(mean))
