"""A network of one class's manifold that neither stretches nor squeezes (Doorenbos et al. 2024).

The conditional volume-preserving network of "Non-Linear Outlier Synthesis for Out-of-Distribution
Detection" (arXiv 2411.13619; facts from github.com/LarsDoorenbos/NCIS): rotations in turn with
additive couplings. Its Jacobian's determinant is 1 in size everywhere, so a density where it leads
to is one where it comes from.
"""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

WIDENING = 4  # hidden numbers, in units of those that a coupling reads


class Rotation(nn.Module):
    """x Q^T + bias with Q = exp(A - A^T), which is orthogonal."""

    def __init__(self, size: int):
        super().__init__()
        angles = torch.empty(size, size).uniform_(-math.pi, math.pi)
        self.angles = nn.Parameter(angles.triu(1))
        self.bias = nn.Parameter(torch.empty(size).uniform_(-1, 1) / math.sqrt(size))

    def matrix(self) -> Float[Tensor, "d d"]:
        """Return Q."""
        upper = self.angles.triu(1)
        return torch.matrix_exp(upper - upper.T)

    def forward(self, x: Float[Tensor, "b d"], _: Tensor) -> Float[Tensor, "b d"]:
        return x @ self.matrix().T + self.bias

    def inverse(self, z: Float[Tensor, "b d"], _: Tensor) -> Float[Tensor, "b d"]:
        """Undo forward."""
        return (z - self.bias) @ self.matrix()


class Coupling(nn.Module):
    """(a, b) -> (a + f(b, class), b)."""

    def __init__(self, size: int):
        super().__init__()
        self.moved, read = size // 2, size - size // 2
        hidden = WIDENING * read
        self.before = nn.Sequential(
            nn.Linear(read, hidden), nn.Sigmoid(), nn.Linear(hidden, hidden)
        )
        self.of_class = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden))
        self.after = nn.Sequential(
            nn.Sigmoid(), nn.Linear(hidden, hidden), nn.Sigmoid(), nn.Linear(hidden, self.moved)
        )

    def _shift(self, b: Float[Tensor, "b r"], given: Float[Tensor, "b h"]) -> Tensor:
        return self.after(self.before(b) + self.of_class(given))

    def forward(self, x: Float[Tensor, "b d"], given: Float[Tensor, "b h"]) -> Float[Tensor, "b d"]:
        a, b = x[:, : self.moved], x[:, self.moved :]
        return torch.cat([a + self._shift(b, given), b], 1)

    def inverse(self, z: Float[Tensor, "b d"], given: Float[Tensor, "b h"]) -> Float[Tensor, "b d"]:
        """Undo forward."""
        a, b = z[:, : self.moved], z[:, self.moved :]
        return torch.cat([a - self._shift(b, given), b], 1)


class VolumePreserving(nn.Module):
    """`layers` pairs of rotation and coupling, and a last rotation; classes by an embedding."""

    def __init__(self, *, size: int, classes: int, layers: int):
        super().__init__()
        pairs = [part for _ in range(layers) for part in (Rotation(size), Coupling(size))]
        self.parts = nn.ModuleList([*pairs, Rotation(size)])
        self.classes = nn.Embedding(classes, WIDENING * (size - size // 2))

    def forward(self, x: Float[Tensor, "b d"], labels: Int64[Tensor, " b"]) -> Float[Tensor, "b d"]:
        given = self.classes(labels)
        for part in self.parts:
            x = part(x, given)
        return x

    def inverse(self, z: Float[Tensor, "b d"], labels: Int64[Tensor, " b"]) -> Float[Tensor, "b d"]:
        """Undo forward."""
        given = self.classes(labels)
        for part in reversed(self.parts):
            z = part.inverse(z, given)
        return z
