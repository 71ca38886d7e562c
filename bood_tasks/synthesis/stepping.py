"""Adversarial steps of features towards the decision boundary."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor

from bood_tasks.synthesis.cosine import CosineClassifier, require_directions

FeatureSpace = Literal["unit", "raw"]
# Rows stepped together: on a CPU few enough for the cache, on a GPU enough to fill it.
ROWS_AT_ONCE, ROWS_ON_CPU = 65536, 256
KEPT_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Stepping:
    """How features are stepped (Eq. 3): α, K, the classifier's temperature t, and the space."""

    step_size: float
    max_steps: int
    temperature: float
    feature_space: FeatureSpace

    def __post_init__(self) -> None:
        if self.step_size <= 0:
            raise ValueError(
                f"distances.step_size must be > 0, got {self.step_size}; the paper uses 0.015"
            )
        if self.max_steps < 1:
            raise ValueError(
                f"distances.max_steps must be >= 1, got {self.max_steps}; the paper uses 100"
            )

    @classmethod
    def of(cls, settings: Mapping, found: float | None = None) -> "Stepping":
        """Return what a stage's settings say of stepping; `found`: the α where they say auto."""
        given = {field.name: settings[field.name] for field in fields(cls)}
        return cls(**given if found is None else given | {"step_size": found})


def rows_at_once(device: torch.device) -> int:
    """Return how many rows are stepped together on a device."""
    return ROWS_ON_CPU if device.type == "cpu" else ROWS_AT_ONCE


def in_space(features: Float[Tensor, "n d"], feature_space: FeatureSpace) -> Float[Tensor, "n d"]:
    """Return the features where the steps are taken: unit length, or as the encoder made them."""
    return F.normalize(features, dim=1) if feature_space == "unit" else features


def initial_margin(
    classifier: CosineClassifier, features: Float[Tensor, "n d"], labels: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Return cos_y - max of the other cosines."""
    parts = []
    size = rows_at_once(features.device)
    for start in range(0, len(features), size):
        part = slice(start, start + size)
        cosines = classifier.products(F.normalize(features[part], dim=1))
        own = cosines.gather(1, labels[part, None]).squeeze(1)
        others = cosines.scatter_(1, labels[part, None], -torch.inf)
        parts.append(own - others.amax(dim=1))
    return torch.cat(parts) if parts else features.new_empty(0)


@torch.no_grad()
def count_steps(
    features: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    anchors: Float[Tensor, "v d"],
    stepping: Stepping,
    *,
    advance: Callable[[int], object] = lambda count: None,
) -> tuple[Int32[Tensor, " n"], Bool[Tensor, " n"], Float[Tensor, " n"]]:
    """Return d(z, y) of Eq. 3, whether the prediction left y, and the initial margin.

    The prediction is tested before each update and after the last. Steps: 0 if it is wrong
    already; `max_steps` (K) if it changes with the last update or never, which the second
    result tells apart. Margin: cosine of y less the largest other cosine, below 0 if wrong.
    No row depends on the others. `advance` hears how many rows are done.
    """
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(anchors):
        raise ValueError(
            f"labels must be in 0 ... {len(anchors) - 1} (one anchor a class), "
            f"got {int(labels.min())} ... {int(labels.max())}; use anchors of the same data set"
        )
    require_directions("features", features, cure="train the encoder again, with a lower lr")
    classifier = CosineClassifier(anchors, temperature=stepping.temperature)
    steps, crossed, _ = step_rows(features, labels, classifier, stepping, advance=advance)
    return steps, crossed, initial_margin(classifier, features, labels)


@torch.no_grad()
def step_rows(
    features: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    classifier: CosineClassifier,
    stepping: Stepping,
    *,
    cuts: Int[Tensor, " n"] | None = None,
    advance: Callable[[int], object] = lambda count: None,
) -> tuple[Int32[Tensor, " n"], Bool[Tensor, " n"], Bool[Tensor, " n"]]:
    """Return steps and crossed as count_steps does, and whether they are exact.

    With `cuts` a row stops once it is sure to need more steps than its cut; `steps` is then a
    lower bound, and `crossed` True unless it can never cross.

    A pool of active rows takes one step at a time, all together; a row that is done gives its
    place to the next one. So each step is two matrix products of a fixed shape, and memory
    beyond the inputs stays bounded.
    """
    total, device, max_steps = len(features), features.device, stepping.max_steps
    size = min(total, rows_at_once(device))
    steps = torch.empty(total, dtype=torch.int32, device=device)
    crossed = torch.empty(total, dtype=torch.bool, device=device)
    exact = torch.ones(total, dtype=torch.bool, device=device)
    reach = classifier.reach(stepping.step_size) if cuts is not None else None

    # glibc hands freed memory back to the kernel at every step, and page faults then take half of
    # the time, unless a larger block was freed before: its trim threshold follows that.
    torch.empty(KEPT_BYTES, dtype=torch.uint8)

    row = torch.arange(size, device=device)  # which feature stands in each place of the pool
    z, y = in_space(features[:size], stepping.feature_space).clone(), labels[:size].clone()
    taken = torch.zeros(size, dtype=torch.int32, device=device)
    following = size  # the next feature to enter the pool
    while len(row):
        products = classifier.products(z)
        wrong = products.argmax(dim=1) != y
        over = wrong | (taken == max_steps)
        if cuts is not None:
            least = taken + classifier.least_steps(products, y, reach)
            retired = ~over & (least > cuts[row])
            over |= retired
        done = over.nonzero().squeeze(1)
        steps[row[done]], crossed[row[done]] = taken[done], wrong[done]
        if cuts is not None:
            gone = retired.nonzero().squeeze(1)
            never = least[gone] > max_steps
            steps[row[gone]] = least[gone].clamp(max=max_steps).int()
            crossed[row[gone]], exact[row[gone]] = ~never, never
        # Done rows step once more: dearer to leave out than to overwrite below.
        z.add_(classifier.ascent_direction(z, y, products).sign_(), alpha=stepping.step_size)
        taken += 1
        if len(done):
            entering = slice(following, following + len(done))
            fresh = in_space(features[entering], stepping.feature_space)
            places, idle = done[: len(fresh)], done[len(fresh) :]
            z[places], y[places], taken[places] = fresh, labels[entering], 0
            row[places] = torch.arange(following, following + len(fresh), device=device)
            following += len(fresh)
            if len(idle):
                keep = torch.ones(len(row), dtype=torch.bool, device=device)
                keep[idle] = False
                z, y, taken, row = z[keep], y[keep], taken[keep], row[keep]
            advance(len(done))
    return steps, crossed, exact
