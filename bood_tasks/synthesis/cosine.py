"""The cosine classifier over class anchors: logits (Eq. 2) and sign-gradient steps (Eq. 3).

Used by encoder, features, distances, ood_features, trajectory, strips and gallery.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from torch import Tensor

ROUNDING = 0.02  # of a step
ROWS_NAMED = 5  # in a message


def require_directions(name: str, rows: Float[Tensor, "n d"], *, cure: str) -> None:
    """Raise ValueError naming the rows of `rows` that hold NaN or infinity, or only zeros."""
    norms = torch.linalg.vector_norm(rows, dim=1)  # NaN and infinities propagate into it
    bad = (~norms.isfinite() | (norms == 0)).nonzero().squeeze(1).tolist()
    if bad:
        shown = ", ".join(map(str, bad[:ROWS_NAMED])) + (", ..." if len(bad) > ROWS_NAMED else "")
        raise ValueError(
            f"{name} must be finite and not all zero, got {len(bad)} bad rows: {shown}; {cure}"
        )


def cosine_logits(
    features: Float[Tensor, "n d"], anchors: Float[Tensor, "v d"], *, temperature: float
) -> Float[Tensor, "n v"]:
    """Return cos(h(x), Γ_j) / t, the logits of Eq. 2; differentiable, in [-1/t, 1/t]."""
    return F.normalize(features, dim=1) @ F.normalize(anchors, dim=1).T / temperature


@cache
def _is_intel() -> bool:
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def _times_transposed(weights: Float[Tensor, "m k"]) -> Callable[[Tensor], Tensor]:
    """Return the function rows ↦ rows @ weights.T.

    float32 on a CPU that is not Intel's goes through oneDNN: on AMD processors the MKL in torch's
    wheels stays with AVX2 and reaches 95 GFLOP/s a core where oneDNN reaches 205. On Intel's
    MKL is the faster one (139 against 75).
    """
    on_cpu = weights.device.type == "cpu" and torch.backends.mkldnn.is_available()
    if on_cpu and weights.dtype == torch.float32 and not _is_intel():
        packed = weights.to_mkldnn()
        return lambda rows: F.linear(rows.to_mkldnn(), packed).to_dense()
    return lambda rows: rows @ weights.T


class CosineClassifier:
    """argmax_j cos(z, Γ_j) and the closed-form gradient of its cross-entropy; no autograd.

    Raises ValueError for fewer than two anchors, NaN or zero anchors, and temperature ≤ 0.
    """

    @torch.no_grad()
    def __init__(self, anchors: Float[Tensor, "v d"], *, temperature: float):
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, got {temperature}; the default is 0.1")
        if len(anchors) < 2:
            raise ValueError(f"anchors must be at least 2, got {len(anchors)}; add a class")
        require_directions("anchors", anchors, cure="make the anchors again")
        unit = F.normalize(anchors, dim=1)
        self._to_classes = _times_transposed(unit)
        self._to_features = _times_transposed(unit.T.contiguous())
        self._temperature = temperature
        self._anchors = unit

    @torch.no_grad()
    def products(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n v"]:
        """Return ‖z‖ cos(z, Γ_j): its argmax is the prediction, first class on a tie."""
        return self._to_classes(z)

    @torch.no_grad()
    def reach(self, step_size: float) -> Float[Tensor, "v v"]:
        """Return α ‖Â_y - Â_j‖₁: how far one sign step can move z·(Â_y - Â_j); infinite for y."""
        apart = torch.cdist(self._anchors, self._anchors, p=1)
        return step_size * apart.fill_diagonal_(torch.inf)

    @torch.no_grad()
    def nearest(
        self,
        products: Float[Tensor, "n v"],
        labels: Int[Tensor, " n"],
        reach: Float[Tensor, "v v"],
    ) -> Float[Tensor, " n"]:
        """Return min_j z·(Â_y - Â_j) / reach_yj: steps of that reach to the nearest boundary, at
        best; below 0 for a row that left its class."""
        own = products.gather(1, labels[:, None])
        each = (own - products).div_(reach[labels])
        return each.scatter_(1, labels[:, None], torch.inf).amin(1)

    @torch.no_grad()
    def least_steps(
        self,
        products: Float[Tensor, "n v"],
        labels: Int[Tensor, " n"],
        reach: Float[Tensor, "v v"],
    ) -> Int64[Tensor, " n"]:
        """Return a lower bound of the steps that each row needs to leave its class.

        0 for a row that left already. ROUNDING of a step is given away, far more than float32
        loses in hundreds of steps.
        """
        return self.nearest(products, labels, reach).sub_(ROUNDING).ceil_().clamp_(min=0).long()

    @torch.no_grad()
    def ascent_direction(
        self,
        z: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"],
        products: Float[Tensor, "n v"],
    ) -> Float[Tensor, "n d"]:
        """Return ∇_z ℓ (Eq. 3) times the positive number t ‖z‖ / (1 - p_y).

        With u = z / ‖z‖, unit anchors Â and p = softmax(Âu / t), the gradient is
        (g - (g·u)u) / ‖z‖, g = Âᵀ(p - e_y) / t. Divided by 1 - p_y, p - e_y becomes
        q - e_y, where q is the softmax over the other classes: the sign is the same, and it
        survives where p_y rounds to 1 and the gradient itself would vanish.
        """
        labels = labels[:, None]
        norms = torch.linalg.vector_norm(z, dim=1, keepdim=True).clamp_min(1e-12)
        cosines = products / norms
        others = (cosines / self._temperature).scatter_(1, labels, -torch.inf)
        weights = others.softmax(dim=1).scatter_(1, labels, -1.0)
        along = (weights * cosines).sum(dim=1, keepdim=True) / norms  # (n, 1): g·u / ‖z‖
        return self._to_features(weights).addcmul_(z, along, value=-1)


def predict(features: Float[Tensor, "n d"], anchors: Float[Tensor, "v d"]) -> Int[Tensor, " n"]:
    """Return the class of the largest cosine; the first class on a tie."""
    return (features @ F.normalize(anchors, dim=1).T).argmax(dim=1)


def perturb(
    z: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    anchors: Float[Tensor, "v d"],
    *,
    step_size: float,
    temperature: float,
) -> Float[Tensor, "n d"]:
    """Return z + α sign(∇_z ℓ(f(z), y)), one update of Eq. 3, with sign(0) = 0.

    `z` is in the chosen feature space already; nothing is projected back onto the sphere.
    """
    classifier = CosineClassifier(anchors, temperature=temperature)
    direction = classifier.ascent_direction(z, labels, classifier.products(z))
    return z + step_size * direction.sign()
