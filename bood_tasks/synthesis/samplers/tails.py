"""The least likely samples of Gaussians: NCIS's outliers, and VOS's."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.special import gammaincinv
from torch import Tensor

RIDGE = 1e-5  # on a class's covariance, as NCIS's code


def unlikeliest(
    rng: torch.Generator, *, classes: int, size: int, candidates: int, selected: int
) -> Float[Tensor, "v s p"]:
    """Return, of each class's `candidates` standard normal z, the `selected` of lowest likelihood,
    the lowest first.

    The likelihood of mu + L z falls with |z| alone, and |z| is independent of the direction of z.
    A candidate is therefore drawn as the share u of shorter ones, |z|^2 being chi-squared with p
    degrees of freedom, and only the selected get a direction: the distribution is that of drawing
    all candidates in full, at a p-th of the cost.
    """
    shorter = torch.rand(classes, candidates, dtype=torch.float64, generator=rng)
    longest = shorter.topk(selected, 1).values
    length = torch.from_numpy(2 * gammaincinv(size / 2, longest.numpy())).sqrt().float()
    return length[..., None] * F.normalize(
        torch.randn(classes, selected, size, generator=rng), dim=2
    )


def fit_gaussian(
    z: Float[Tensor, "n d"],
) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """Return the mean and L of the covariance (ddof = 1) + RIDGE = L L^T, computed in float64."""
    covariance = z.double().T.cov() + RIDGE * torch.eye(z.shape[1], device=z.device)
    return z.mean(0), torch.linalg.cholesky(covariance).to(z)
