"""The nearest features exactly, most of the others never stepped (method: section 4).

One sign step changes z·(Â_y - Â_j) by at most α ‖Â_y - Â_j‖₁, so a row needs at least
min_j z·(Â_y - Â_j) / (α ‖Â_y - Â_j‖₁) steps. First the rows with the smallest bounds are counted:
the n-th smallest count of a class is a cut that none of its n nearest exceeds. Then the others
whose bound does not exceed it are stepped until they cross or their bound does.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor

from bood_tasks.synthesis.cosine import CosineClassifier
from bood_tasks.synthesis.stepping import Stepping, in_space, initial_margin, step_rows

FIRST_SHARE = 1.3  # of the wanted rows, counted to find the cut


def nearest_steps(
    features: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    anchors: Float[Tensor, "v d"],
    stepping: Stepping,
    *,
    rate: float,
    scope: str,
    misclassified: str,
    advance: Callable[[int], object] = lambda count: None,
) -> tuple[
    Int32[Tensor, " n"], Bool[Tensor, " n"], Float[Tensor, " n"], Bool[Tensor, " n"]
]:  # fmt: skip
    """Return steps, crossed and margin as count_steps does, and which rows are exact.

    Whatever selection.select_rows can choose at this rate, scope and treatment of misclassified
    rows, or tie with the last chosen, is exact. Of the others `steps` is a lower bound beyond the
    cut, and `crossed` is True.
    """
    classifier = CosineClassifier(anchors, temperature=stepping.temperature)
    max_steps = stepping.max_steps
    group = labels if scope == "per_class" else torch.zeros_like(labels)
    groups = int(group.max()) + 1 if len(group) else 0
    wanted = [round(rate * int(size)) for size in torch.bincount(group, minlength=groups)]

    margin = initial_margin(classifier, features, labels)
    bound = torch.empty(len(features), dtype=torch.int64, device=features.device)
    reach = classifier.reach(stepping.step_size)
    for part in torch.arange(len(features), device=features.device).split(4096):
        z = in_space(features[part], stepping.feature_space)
        bound[part] = classifier.least_steps(classifier.products(z), labels[part], reach)
    steps = bound.clamp(max=max_steps).int()
    exact = bound > max_steps  # these never cross
    crossed = ~exact
    wrong = margin < 0
    usable = ~wrong if misclassified == "drop" else torch.full_like(wrong, True)

    def count(rows: Int[Tensor, " m"], cuts: Int[Tensor, " m"] | None) -> None:
        found = step_rows(features[rows], labels[rows], classifier, stepping, cuts=cuts)
        steps[rows], crossed[rows], exact[rows] = found
        advance(len(rows))

    cut = torch.full((groups,), max_steps, dtype=torch.int64, device=features.device)
    ranked = torch.argsort(bound, stable=True)
    members = [ranked[(group[ranked] == g)] for g in range(groups)]
    many = [max(1, round(FIRST_SHARE * n)) for n in wanted]
    while True:  # until every group knows its cut, or has no more rows to count
        first = [
            rows[usable[rows]][:m][~exact[rows[usable[rows]][:m]]]
            for rows, m in zip(members, many, strict=True)
        ]
        todo = torch.cat(first) if first else ranked[:0]
        if len(todo):
            count(todo, None)
        again = False
        for g, (rows, n) in enumerate(zip(members, wanted, strict=True)):
            known = rows[usable[rows] & exact[rows] & crossed[rows]]
            if n and len(known) >= n:
                cut[g] = torch.sort(steps[known]).values[n - 1]
            elif n and many[g] < len(rows):
                many[g], again = 2 * many[g], True
            elif not n:
                cut[g] = 0
        if not again:
            break
    rest = (~exact & (bound <= cut[group])).nonzero().squeeze(1)
    if len(rest):
        rest = rest[torch.argsort(bound[rest], stable=True)]
        count(rest, cut[group[rest]])
    advance(int((~exact).sum()))
    return steps, crossed, margin, exact
