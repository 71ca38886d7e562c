"""Step counts against a row-by-row autograd loop and a case worked by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bood_tasks.synthesis import distances, stepping
from bood_tasks.synthesis.stepping import Stepping, count_steps
from tests import fake_artifacts

TEMPERATURE = 0.1


def random_case(rows=60, dim=16, classes=5, seed=3):
    """Rows around their anchor, norm 4, of which some are wrong from the start."""
    random = torch.Generator().manual_seed(seed)
    anchors = torch.randn(classes, dim, generator=random, dtype=torch.float64)
    labels = torch.randint(classes, (rows,), generator=random)
    noise = torch.randn(rows, dim, generator=random, dtype=torch.float64)
    spread = 3 * torch.rand(rows, 1, generator=random, dtype=torch.float64)
    return 4 * F.normalize(anchors[labels] + spread * noise, dim=1), labels, anchors


def reference(features, labels, anchors, step_size, max_steps, feature_space):
    """(d, crossed) of each row, one at a time, by autograd; nothing of the package is used."""
    found = []
    for z, label in zip(features.double(), labels, strict=True):
        z = z / z.norm() if feature_space == "unit" else z
        for step in range(max_steps + 1):
            z = z.detach().requires_grad_(True)
            logits = F.cosine_similarity(z, anchors.double(), dim=1) / TEMPERATURE
            if logits.argmax() != label:
                found.append((step, True))
                break
            if step == max_steps:
                found.append((step, False))
                break
            (gradient,) = torch.autograd.grad(F.cross_entropy(logits, label), z)
            z = z + step_size * gradient.sign()
    return found


def counted(features, labels, anchors, step_size, max_steps, feature_space="raw"):
    steps, crossed, margin = count_steps(
        features, labels, anchors,
        Stepping(step_size, max_steps, TEMPERATURE, feature_space),
    )  # fmt: skip
    return list(zip(steps.tolist(), crossed.tolist(), strict=True)), margin


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("feature_space", "step_size"), [("unit", 0.015), ("raw", 0.05)])
def test_steps_equal_the_autograd_loop(feature_space, step_size, dtype):
    features, labels, anchors = random_case()
    expected = reference(features, labels, anchors, step_size, 100, feature_space)
    found, _ = counted(features.to(dtype), labels, anchors.to(dtype), step_size, 100, feature_space)
    assert found == expected
    steps = {d for d, _ in expected}
    assert 0 in steps
    assert len(steps) > 5


@pytest.mark.parametrize("feature_space", ["unit", "raw"])
def test_crossing_at_k_and_never_crossing_are_told_apart(feature_space):
    features, labels, anchors = random_case()
    unbounded, _ = counted(features, labels, anchors, 0.02, 1000, feature_space)
    k = sorted(d for d, _ in unbounded)[len(unbounded) // 2]  # a row crosses at exactly K
    found, _ = counted(features, labels, anchors, 0.02, k, feature_space)
    assert found == [(min(d, k), d <= k) for d, _ in unbounded]
    assert {(k, True), (k, False), (0, True)} <= set(found)
    assert found == reference(features, labels, anchors, 0.02, k, feature_space)


def test_steps_by_hand():
    anchors = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    # (1, 0), (1, .3), (.7, .6), (.4, .9): the radial part of the first step is zero. The tie
    # of the last row goes to class 0.
    found, margin = counted(features, torch.tensor([0, 1, 1]), anchors, 0.3, 10)
    assert found == [(3, True), (0, True), (0, True)]
    torch.testing.assert_close(margin, torch.tensor([1.0, -1.0, 0.0]))


def test_margin_is_own_cosine_less_the_largest_other():
    features, labels, anchors = random_case()
    cosines = F.cosine_similarity(features[:, None], anchors[None], dim=2)
    others = [
        max(value for j, value in enumerate(row) if j != label)
        for row, label in zip(cosines.tolist(), labels.tolist(), strict=True)
    ]
    expected = cosines[range(len(labels)), labels] - torch.tensor(others, dtype=torch.float64)
    _, margin = counted(features, labels, anchors, 0.05, 3)
    torch.testing.assert_close(margin, expected)


@pytest.mark.parametrize("rows_at_once", [1, 3, 7, 59])
def test_rows_at_once_change_nothing(monkeypatch, rows_at_once):
    features, labels, anchors = random_case()
    inputs = features.float(), labels, anchors.float(), 0.05, 30
    expected, expected_margin = counted(*inputs)
    monkeypatch.setattr(stepping, "rows_at_once", lambda _: rows_at_once)
    found, margin = counted(*inputs)
    assert found == expected
    torch.testing.assert_close(margin, expected_margin)


def test_row_order_changes_nothing():
    features, labels, anchors = random_case()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    expected, _ = counted(features, labels, anchors, 0.05, 30)
    found, _ = counted(features[order], labels[order], anchors, 0.05, 30)
    assert found == [expected[i] for i in order.tolist()]


def test_inputs_are_not_written_to(monkeypatch):
    monkeypatch.setattr(stepping, "rows_at_once", lambda _: 7)
    features, labels, anchors = random_case()
    before = features.clone(), labels.clone()
    counted(features, labels, anchors, 0.05, 30)
    assert torch.equal(features, before[0])
    assert torch.equal(labels, before[1])


def test_advance_hears_of_every_row():
    features, labels, anchors = random_case()
    heard = []
    count_steps(
        features, labels, anchors, Stepping(0.05, 5, TEMPERATURE, "raw"),
        advance=heard.append,
    )  # fmt: skip
    assert sum(heard) == len(features)


@pytest.mark.parametrize(
    ("value", "message"),
    [(float("nan"), "got 2 bad rows: 4, 9;"), (float("inf"), "got 2 bad rows: 4, 9;")],
)
def test_rejects_features_that_are_not_finite(value, message):
    features, labels, anchors = random_case()
    features[4, 0] = features[9, 3] = value
    with pytest.raises(ValueError, match=f"features must be finite and not all zero, {message}"):
        counted(features, labels, anchors, 0.05, 5)


def test_rejects_zero_features_and_names_the_first_five():
    features, labels, anchors = random_case()
    features[10:20] = 0
    with pytest.raises(ValueError, match=r"got 10 bad rows: 10, 11, 12, 13, 14, \.\.\.; train"):
        counted(features, labels, anchors, 0.05, 5)


def test_rejects_labels_without_an_anchor():
    features, labels, anchors = random_case()
    labels[0] = 5
    with pytest.raises(ValueError, match=r"labels must be in 0 \.\.\. 4 \(one anchor a class\)"):
        counted(features, labels, anchors, 0.05, 5)


def test_rejects_step_size_zero():
    with pytest.raises(ValueError, match=r"step_size must be > 0, got 0\.0"):
        counted(*random_case(), 0.0, 5)


def test_rejects_max_steps_zero():
    with pytest.raises(ValueError, match="max_steps must be >= 1, got 0"):
        counted(*random_case(), 0.05, 0)


def test_main_writes_what_count_steps_returns(tmp_path):
    values, labels, anchors = random_case()
    inputs = {
        "features": fake_artifacts.make(
            tmp_path,
            "features",
            arrays={"features": values.float().numpy(), "labels": labels.numpy()},
        ),
        "anchors": fake_artifacts.make(
            tmp_path, "anchors", arrays={"anchors": anchors.float().numpy()}
        ),
    }
    settings = {
        "step_size": 0.015, "max_steps": 20, "feature_space": "unit", "temperature": TEMPERATURE,
    }  # fmt: skip
    found = fake_artifacts.run_stage(
        tmp_path, distances.main, "distances", settings | {"rows": "all"}, inputs
    )
    steps, crossed, margin = count_steps(
        values.float(), labels, anchors.float(), Stepping(**settings)
    )
    for name, expected, dtype in (
        ("steps", steps, np.int32),
        ("crossed", crossed, np.bool_),
        ("margin", margin, np.float32),
    ):
        assert found[name].dtype == dtype
        np.testing.assert_array_equal(found[name][:], expected.numpy())
    assert found.rows == {"steps": len(labels)}
    assert found["exact"][:].all()
    how = {"rate": 0.2, "scope": "per_class", "misclassified": "drop"}
    pruned = fake_artifacts.run_stage(
        tmp_path, distances.main, "distances", settings | {"rows": "nearest"} | how, inputs
    )
    exact = pruned["exact"][:]
    assert 0.2 <= exact.mean() <= 1
    np.testing.assert_array_equal(pruned["steps"][:][exact], steps.numpy()[exact])
