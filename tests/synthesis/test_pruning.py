"""The pruned count against the whole one: the same selection, whatever the case."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bood_tasks.synthesis.cosine import CosineClassifier
from bood_tasks.synthesis.pruning import nearest_steps
from bood_tasks.synthesis.samplers.selection import select_rows
from bood_tasks.synthesis.stepping import Stepping, count_steps

CLASSES = [f"c{k}" for k in range(6)]


def case(seed, rows=300, dim=24, norm=4.0, copies=0):
    random = torch.Generator().manual_seed(seed)
    anchors = torch.randn(len(CLASSES), dim, generator=random, dtype=torch.float64)
    labels = torch.arange(rows) % len(CLASSES)
    noise = torch.randn(rows, dim, generator=random, dtype=torch.float64)
    spread = 2.5 * torch.rand(rows, 1, generator=random, dtype=torch.float64)
    features = norm * F.normalize(anchors[labels] + spread * noise, dim=1)
    if copies:  # ties in distance and margin: order by index
        features[: copies * 6] = features[copies * 6 : 2 * copies * 6]
    return features, labels, anchors


def chosen(labels, steps, crossed, margin, **how):
    return select_rows(
        labels.numpy(), steps.numpy(), crossed.numpy(), margin.numpy(), CLASSES,
        select="boundary", seed=0, **how,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scope", ["per_class", "global"])
@pytest.mark.parametrize("misclassified", ["keep", "drop"])
@pytest.mark.parametrize(
    ("space", "step_size", "max_steps", "rate"),
    [
        ("raw", 0.02, 100, 0.05),
        ("raw", 0.02, 12, 0.1),  # many never cross
        ("raw", 0.02, 5, 0.5),  # more are wanted than cross
        ("unit", 0.01, 100, 0.2),
        ("unit", 0.3, 100, 0.3),  # a few distances, many ties
        ("raw", 0.02, 100, 1.0),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_selection_is_that_of_the_whole_count(
    space, step_size, max_steps, rate, misclassified, scope, dtype, seed
):
    features, labels, anchors = case(seed, copies=5)
    features, anchors = features.to(dtype), anchors.to(dtype)
    stepping = Stepping(step_size, max_steps, 0.1, space)
    how = {"rate": rate, "scope": scope, "misclassified": misclassified}
    steps, crossed, margin = count_steps(features, labels, anchors, stepping)
    found = nearest_steps(features, labels, anchors, stepping, **how)
    exact = found[3]
    assert torch.equal(found[0][exact], steps[exact])
    assert torch.equal(found[1][exact], crossed[exact])
    assert torch.equal(found[2], margin)
    assert (found[0] <= steps).all()
    expected = _or_message(chosen, labels, steps, crossed, margin, **how)
    pruned = _or_message(chosen, labels, *found[:3], **how)
    assert _shown(pruned) == _shown(expected)


def _or_message(function, *values, **more):
    try:
        return function(*values, **more)
    except ValueError as error:
        return str(error)


def _shown(selection):
    return selection if isinstance(selection, str) else vars(selection) | {
        "rows": selection.rows.tolist()
    }  # fmt: skip


def test_most_rows_are_never_stepped_to_the_end():
    features, labels, anchors = case(0, rows=3000, dim=64, norm=10.0)
    *_, exact = nearest_steps(
        features, labels, anchors, Stepping(0.02, 100, 0.1, "raw"),
        rate=0.05, scope="per_class", misclassified="drop",
    )  # fmt: skip
    assert 0.05 <= exact.float().mean() < 0.3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bound_never_exceeds_the_count_and_is_zero_for_wrong_rows(dtype):
    features, labels, anchors = case(2, rows=600)
    features, anchors = features.to(dtype), anchors.to(dtype)
    classifier = CosineClassifier(anchors, temperature=0.1)
    bound = classifier.least_steps(classifier.products(features), labels, classifier.reach(0.02))
    steps, crossed, _ = count_steps(
        features, labels, anchors, Stepping(0.02, 500, 0.1, "raw"),
    )  # fmt: skip
    assert crossed.all()
    assert (bound <= steps).all()
    assert bound[steps == 0].max() == 0
    assert (bound / steps.clamp(min=1)).float().mean() > 0.3  # a bound worth having


def test_bound_by_hand():
    anchors = torch.eye(2, dtype=torch.float64)
    classifier = CosineClassifier(anchors, temperature=1.0)
    z = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    bound = classifier.least_steps(classifier.products(z), torch.tensor([0]), classifier.reach(0.1))
    assert bound.item() == 3  # the gap .5 shrinks by at most .2 a step


def test_float32_and_float64_choose_the_same_rows():
    features, labels, anchors = case(4, rows=1200, dim=48, norm=8.0)
    rows = []
    for dtype in (torch.float32, torch.float64):
        how = {"rate": 0.05, "scope": "per_class", "misclassified": "keep"}
        found = nearest_steps(
            features.to(dtype), labels, anchors.to(dtype),
            Stepping(0.02, 100, 0.1, "raw"), **how,
        )  # fmt: skip
        rows.append(chosen(labels, *found[:3], **how).rows)
    assert np.array_equal(*rows)
