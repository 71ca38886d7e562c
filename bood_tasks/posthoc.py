"""Scores of a trained classifier's outputs; larger = more ID. Nothing here reads a picture.

`SCORES` names each score's `fit(training, **settings)`, which returns its state, and its
`score(outputs, state)`, float32. A fitted state holds tensors only, so that safetensors can keep it
beside the detector, and lives on the device of the training outputs. Fits and all but the
neighbours are computed in float64, block by block.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

ROWS = 8192  # converted to float64 at once
SIMILARITIES = 2**26  # held at once by knn: 256 MB
RANK_LEVEL = 1e-10  # of the largest variance; rounding of float32 features leaves about 1e-14

State = dict[str, Tensor | float]  # numbers: what was read back may hold them plain


@dataclass(frozen=True)
class Outputs:
    """What a classifier says of n pictures. Fits may read the labels and the head as well."""

    features: Float[Tensor, "n p"]  # penultimate: pooled, after ReLU
    logits: Float[Tensor, "n v"]
    stages: tuple[Float[Tensor, "n _"], ...] = ()  # pooled features of all earlier stages
    labels: Int64[Tensor, " n"] | None = None
    head: nn.Linear | None = None  # from features to logits


def msp(logits: Float[Tensor, "n v"], *, temperature: float = 1.0) -> Float[Tensor, " n"]:
    """Return the maximum softmax probability S (Hendrycks & Gimpel 2017) as log((v-1) S / (1-S)).

    These log-odds against the uniform distribution have the order of S. Float32 would round S to
    1 for sure pictures, and to a few thousand values near 1/v at a temperature of 1000.
    """
    scaled = logits.double() / temperature
    top, place = scaled.max(1, keepdim=True)
    others = (scaled - top).scatter(1, place, -torch.inf)
    return (math.log(logits.shape[1] - 1) - others.logsumexp(1)).float()


def energy(logits: Float[Tensor, "n v"]) -> Float[Tensor, " n"]:
    """Return logsumexp of the logits, the negative free energy (Liu et al. 2020)."""
    return logits.logsumexp(1)


def _blocks(rows: Float[Tensor, "n p"], count: int) -> Sequence[Tensor]:
    """Return blocks of at most `count` rows; all in one where a graph for any n is exported."""
    return [rows] if torch.compiler.is_exporting() else rows.split(count)


def _by_block(function: Callable[[Tensor], Tensor], rows: Float[Tensor, "n p"]) -> Tensor:
    """Return function(rows) as float32, computed in float64."""
    return torch.cat([function(block.double()).float() for block in _blocks(rows, ROWS)])


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


def _nearness(features: Float[Tensor, "n p"], state: State) -> Float[Tensor, " n"]:
    """Return minus the squared distance to the nearest mean, all distances by one product."""
    means = state["means"]
    lengths = means.square().sum(1)

    def negative_distance(block: Tensor) -> Tensor:
        white = (block - state["origin"]) @ state["whitening"]
        to_means = torch.addmm(lengths, white, means.T, alpha=-2).amin(1)
        return -(white.square().sum(1) + to_means).clamp(min=0)

    return _by_block(negative_distance, features)


def fit_mahalanobis(training: Outputs) -> State:
    """Fit class means and one covariance Sigma to the penultimate features (Lee et al. 2018b).

    Directions in which the training features do not vary (below RANK_LEVEL; dead channels, or
    fewer pictures than channels) count for nothing: the pseudo-inverse, as in the paper's code.
    """
    return _fit_gaussians(training.features, training.labels)


def mahalanobis(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return -min over classes of (f - mu)^T Sigma^-1 (f - mu)."""
    return _nearness(outputs.features, state)


def fit_mahalanobis_ensemble(training: Outputs) -> State:
    """Fit `mahalanobis` to every stage's pooled features; `fit_weights` must follow.

    The paper's input perturbation is left out: stored features have no gradient.
    """
    found: State = {}
    for number, features in enumerate((*training.stages, training.features)):
        gaussians = _fit_gaussians(features, training.labels)
        found |= {f"{number}.{name}": value for name, value in gaussians.items()}
    return found


def _stage_scores(outputs: Outputs, state: State) -> Float[Tensor, "n s"]:
    """Return each stage's Mahalanobis score."""
    found = []
    for number, features in enumerate((*outputs.stages, outputs.features)):
        own = {name: state[f"{number}.{name}"] for name in ("origin", "whitening", "means")}
        found.append(_nearness(features, own))
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


def _normalised(features: Float[Tensor, "n p"]) -> Float[Tensor, "n p"]:
    return _by_block(lambda block: F.normalize(block, dim=1), features)


def fit_knn(training: Outputs, *, neighbours: int) -> State:
    """Keep the training features, all of them, at length 1 (Sun et al. 2022; k is `neighbours`)."""
    if neighbours > len(training.features):
        raise ValueError(
            f"scoring.knn.neighbours must be at most {len(training.features)}, the number of "
            f"training pictures, got {neighbours}; lower it"
        )
    return {"rows": _normalised(training.features), "neighbours": torch.tensor(neighbours)}


def _kth_largest(values: Float[Tensor, "b m"], k: int) -> Float[Tensor, " b"]:
    """Return each row's k-th largest value.

    The k largest lie in the k groups of columns with the largest maxima, so that nearly all
    columns are only ever compared with one another.
    """
    size = math.isqrt(values.shape[1] // k)
    count = values.shape[1] // size
    grouped = values[:, : size * count].unflatten(1, (size, count))
    best = grouped.amax(1).topk(k, sorted=False).indices
    found = grouped.gather(2, best[:, None].expand(-1, size, -1)).flatten(1)
    rest = values[:, size * count :]
    return torch.cat([found, rest], 1).topk(k).values[:, -1]


def knn(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return minus the distance to the k-th nearest training feature, at length 1 both.

    Exact but for float32: distances below about 5e-4 are rounding. A feature of length 0 has no
    direction, and the distance of a right angle from all.
    """
    rows, k = state["rows"], int(state["neighbours"])
    blocks = _blocks(_normalised(outputs.features), max(1, SIMILARITIES // len(rows)))
    cosines = torch.cat([_kth_largest(block @ rows.T, k) for block in blocks])
    return -(2 - 2 * cosines).clamp(min=0).sqrt()


def _head(training: Outputs) -> State:
    """Return the classifier's last layer, where the features are."""
    named = training.head.state_dict()  # detached
    return {name: value.to(training.features.device) for name, value in named.items()}


def vim_dimension(width: int) -> int:
    """Return the principal space's dimension for features of p = `width`.

    1000 from 2048 on and 512 from 768 on as in Wang et al. 2022, whose networks are no narrower;
    half the width below.
    """
    if width >= 2048:
        return 1000
    return 512 if width >= 768 else width // 2


def fit_vim(training: Outputs, *, dimension: int | None) -> State:
    """Fit the origin o = -W^+ b, the space R of least variance about it, and alpha.

    alpha = mean of the largest logit / mean of |R^T (f - o)|. None: `vim_dimension`, or half the
    rank of the training features where these do not reach so far (dead channels, few pictures).
    """
    features, head = training.features, _head(training)
    origin = -torch.linalg.pinv(head["weight"].double()) @ head["bias"].double()
    blocks = (block.double() - origin for block in features.split(ROWS))
    variances, axes = torch.linalg.eigh(sum(block.T @ block for block in blocks))
    rank = int((variances > RANK_LEVEL * variances[-1]).sum())
    if dimension is None:
        usual = vim_dimension(features.shape[1])
        dimension = usual if usual < rank else rank // 2
    if dimension >= rank:
        raise ValueError(
            f"scoring.vim.dimension must be below {rank}, the training features' rank, got "
            f"{dimension}; lower it, or write null"
        )
    state = {"origin": origin, "residual": axes[:, : len(axes) - dimension].contiguous()}
    largest = training.logits.amax(1).double().mean()
    return state | {"alpha": largest / _residual_norm(features, state).double().mean()}


def _residual_norm(features: Float[Tensor, "n p"], state: State) -> Float[Tensor, " n"]:
    return _by_block(
        lambda block: ((block - state["origin"]) @ state["residual"]).norm(dim=1), features
    )


def vim(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return the energy less the virtual logit alpha |R^T (f - o)| (Wang et al. 2022)."""
    virtual = state["alpha"] * _residual_norm(outputs.features, state).double()
    return (energy(outputs.logits.double()) - virtual).float()


def _percentile(values: Tensor, level: float) -> float:
    """Return a percentile of all values; torch's own stops at 16 million."""
    return float(np.percentile(values.cpu().numpy(), level))


def _energy_of(features: Float[Tensor, "n p"], state: State) -> Float[Tensor, " n"]:
    """Return the energy of the state's head."""
    weight, bias = state["weight"], state["bias"]
    return _by_block(
        lambda block: energy(F.linear(block, weight.double(), bias.double())), features
    )


def fit_react(training: Outputs, *, percentile: float) -> State:
    """Fit the clip c: a percentile of all training activations (Sun et al. 2021)."""
    clip = torch.tensor(_percentile(training.features, percentile), dtype=torch.float64)
    return _head(training) | {"clip": clip.to(training.features.device)}


def react(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return the energy of the head on features min(f, c)."""
    return _energy_of(outputs.features.clamp(max=float(state["clip"])), state)


def fit_dice(training: Outputs, *, sparsity: float) -> State:
    """Set to zero the `sparsity` percent of weights with the least contribution E[f] W.

    Sun & Li 2022; the mean feature is of the training split, the order is over the whole matrix.
    """
    state = _head(training)
    contributions = training.features.mean(0, dtype=torch.float64) * state["weight"]
    kept = contributions > _percentile(contributions, sparsity)
    return state | {"weight": state["weight"] * kept}


def dice(outputs: Outputs, state: State) -> Float[Tensor, " n"]:
    """Return the energy of the sparse head."""
    return _energy_of(outputs.features, state)


class Score(NamedTuple):
    """How a score is fitted to training outputs and read off others."""

    fit: Callable[..., State]
    score: Callable[[Outputs, State], Float[Tensor, " n"]]


SCORES = {
    "msp": Score(lambda training: {}, lambda outputs, state: msp(outputs.logits)),
    "energy": Score(lambda training: {}, lambda outputs, state: energy(outputs.logits)),
    "mahalanobis": Score(fit_mahalanobis, mahalanobis),
    "mahalanobis_ensemble": Score(fit_mahalanobis_ensemble, mahalanobis_ensemble),
    "knn": Score(fit_knn, knn),
    "vim": Score(fit_vim, vim),
    "react": Score(fit_react, react),
    "dice": Score(fit_dice, dice),
}
