"""Mahalanobis distance to the class means (Lee et al. 2018b), last stage or all, and relative to
that to the mean of all classes (Ren et al. 2021).

With `scoring.mahalanobis.magnitudes` the pictures are moved first, a step of that length along the
sign of the score's gradient (their equation 4; odin.py has the step and its unit).
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from bood_tasks.detectors.method import Method
from bood_tasks.scoring.posthoc.base import RANK_LEVEL, ROWS, Outputs, Score, State, by_block
from bood_tasks.scoring.posthoc.odin import confidences


def _fit_gaussians(features: Float[Tensor, "n p"], labels: Int64[Tensor, " n"]) -> State:
    """Return class means and the shared covariance, as a map to where it is the identity."""
    _, place, counts = labels.unique(return_inverse=True, return_counts=True)
    width = features.shape[1]
    means = features.new_zeros(len(counts), width, dtype=torch.float64)
    moment = features.new_zeros(width, width, dtype=torch.float64)
    for block, rows in zip(features.split(ROWS), place.split(ROWS), strict=True):
        block = block.double()
        means.index_add_(0, rows, block)
        moment.addmm_(block.T, block)
    means /= counts[:, None]
    covariance = (moment - (means.T * counts) @ means) / len(features)
    variances, axes = torch.linalg.eigh(covariance)
    kept = variances > RANK_LEVEL * variances[-1]
    whitening = axes[:, kept] / variances[kept].sqrt()
    origin = means.mean(0)
    return {"origin": origin, "whitening": whitening, "means": (means - origin) @ whitening}


def _squared_distance(features: Float[Tensor, "n p"], state: State) -> Float[Tensor, " n"]:
    """Return the squared distance to the nearest mean, in float64, all distances by one product."""
    means = state["means"]
    lengths = means.square().sum(1)
    white = (features - state["origin"]) @ state["whitening"]
    to_means = torch.addmm(lengths, white, means.T, alpha=-2).amin(1)
    return (white.square().sum(1) + to_means).clamp(min=0)


def nearness(features: Float[Tensor, "n p"], state: State) -> Float[Tensor, " n"]:
    """Return minus the squared distance to the nearest mean."""
    return by_block(lambda block: -_squared_distance(block, state), features)


def fit_mahalanobis(training: Outputs) -> State:
    """Fit class means and one covariance Sigma to the penultimate features (Lee et al. 2018b).

    Directions in which the training features do not vary (below RANK_LEVEL; dead channels, or
    fewer pictures than channels) count for nothing: the pseudo-inverse, as in the paper's code.
    """
    return _fit_gaussians(training.features, training.labels)


def mahalanobis(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return -min over classes of (f - mu)^T Sigma^-1 (f - mu)."""
    return nearness(outputs.features, state)


def moved_mahalanobis(
    model: Method, x: Float[Tensor, "b 3 h w"], magnitudes: Sequence[float], state: State
) -> Float[Tensor, "b m"]:
    """Return the score of network input moved towards the nearest mean by each magnitude."""
    return confidences(lambda x: nearness(model.outputs(x)["features"], state), x, magnitudes)


def _numbered(part: object, gaussians: State) -> State:
    return {f"{part}.{name}": value for name, value in gaussians.items()}


def _of(part: object, state: State) -> State:
    return {name: state[f"{part}.{name}"] for name in ("origin", "whitening", "means")}


def fit_rmds(training: Outputs) -> State:
    """Fit `mahalanobis`, and one Gaussian to the features of all classes (Ren et al. 2021)."""
    features, labels = training.features, training.labels
    classes = _numbered("classes", _fit_gaussians(features, labels))
    return classes | _numbered("all", _fit_gaussians(features, torch.zeros_like(labels)))


def rmds(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return minus the squared distance to the nearest class mean, plus that to the mean of all."""
    near, all_ = _of("classes", state), _of("all", state)
    return by_block(
        lambda block: _squared_distance(block, all_) - _squared_distance(block, near),
        outputs.features,
    )


def fit_mahalanobis_ensemble(training: Outputs) -> State:
    """Fit `mahalanobis` to every stage's pooled features; `fit_weights` must follow.

    The paper's input perturbation is left out: stored features have no gradient.
    """
    found: State = {}
    for number, features in enumerate((*training.stages, training.features)):
        gaussians = _fit_gaussians(features, training.labels)
        found |= _numbered(number, gaussians)
    return found


def _stage_scores(outputs: Outputs, state: State) -> Float[Tensor, "n s"]:
    """Return each stage's Mahalanobis score."""
    found = []
    for number, features in enumerate((*outputs.stages, outputs.features)):
        found.append(nearness(features, _of(number, state)))
    return torch.stack(found, 1)


def fit_weights(state: State, inside: Outputs, outside: Outputs) -> State:
    """Return the ensemble's state with the weights of a logistic regression, ID against OOD.

    Both sides are validation outputs. The stages' scores are standardised before, as the
    regression's penalty would otherwise depend on their units; both sides weigh the same.
    """
    # Not at the top: training imports this module too, and need not wait a second for it.
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    sides = [_stage_scores(side, state).double() for side in (inside, outside)]
    table = torch.cat(sides).cpu().numpy()
    is_id = np.arange(len(table)) < len(sides[0])
    scaler = StandardScaler().fit(table)
    regression = LogisticRegression(class_weight="balanced", max_iter=1000)
    regression.fit(scaler.transform(table), is_id)
    weights = regression.coef_[0] / scaler.scale_
    fitted = {"weights": weights, "offset": regression.intercept_[0] - weights @ scaler.mean_}
    return state | {name: torch.as_tensor(v, device=sides[0].device) for name, v in fitted.items()}


def mahalanobis_ensemble(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return the weighted sum of the stages' Mahalanobis scores (Lee et al. 2018b)."""
    scores = _stage_scores(outputs, state).double()
    return (scores @ state["weights"] + state["offset"]).float()


SCORES = {
    "mahalanobis": Score(mahalanobis, fit_mahalanobis, moved=moved_mahalanobis),
    "rmds": Score(rmds, fit_rmds),
    "mahalanobis_ensemble": Score(mahalanobis_ensemble, fit_mahalanobis_ensemble, fit_weights),
}
