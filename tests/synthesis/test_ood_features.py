"""Perturbation and rescaling against loops written out; the stage from files to files."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bood_tasks.synthesis import ood_features
from bood_tasks.synthesis.cosine import perturb, predict
from bood_tasks.synthesis.ood_features import rescale_vectors
from bood_tasks.synthesis.samplers.bood import add_noise, class_means, leave_centroid, push_across
from bood_tasks.synthesis.stepping import Stepping, count_steps
from tests import fake_artifacts

CLASSES = ["cat", "dog", "owl"]
STEPPING = {"step_size": 0.05, "max_steps": 60, "temperature": 0.1, "feature_space": "raw"}


def random_case(rows=90, dim=12):
    """float32 features of norm 3 around their anchors, of which some are wrong."""
    random = torch.Generator().manual_seed(5)
    anchors = torch.randn(len(CLASSES), dim, generator=random)
    labels = torch.arange(rows) % len(CLASSES)
    noise = torch.randn(rows, dim, generator=random)
    features = anchors[labels] + 2 * torch.rand(rows, 1, generator=random) * noise
    return 3 * F.normalize(features, dim=1), labels, anchors


@pytest.mark.parametrize("extra_steps", [0, 1, 2, 5])
def test_push_across_takes_exactly_d_and_c_autograd_steps(extra_steps):
    features, labels, anchors = (part[:40] for part in random_case())
    expected, counts = [], []
    for z, label in zip(features.double(), labels, strict=True):
        left = None  # updates still to make once the prediction has switched
        made = 0
        while left != 0:
            z = z.detach().requires_grad_(True)
            logits = F.cosine_similarity(z, anchors.double(), dim=1) / STEPPING["temperature"]
            if left is None and logits.argmax() != label:
                counts.append(made)
                left = extra_steps
                continue
            (gradient,) = torch.autograd.grad(F.cross_entropy(logits, label), z)
            z = z + STEPPING["step_size"] * gradient.sign()
            made += 1
            left = None if left is None else left - 1
        expected.append(z.detach())
    found = push_across(features, labels, anchors, Stepping(**STEPPING), extra_steps=extra_steps)
    torch.testing.assert_close(found.double(), torch.stack(expected), atol=1e-5, rtol=0)
    assert 0 in counts  # wrong from the start: the c updates alone
    assert len(set(counts)) > 5


def test_push_across_needs_as_many_updates_as_distances_counts():
    features, labels, anchors = random_case()
    steps, crossed, _ = count_steps(features, labels, anchors, Stepping(**STEPPING))
    assert crossed.all()
    found = push_across(features, labels, anchors, Stepping(**STEPPING), extra_steps=0)
    z = features.clone()
    for step in range(int(steps.max())):
        moving = steps > step
        z[moving] = perturb(z[moving], labels[moving], anchors, step_size=0.05, temperature=0.1)
    torch.testing.assert_close(found, z)
    assert (predict(found, anchors) != labels).all()


def test_push_across_rejects_rows_that_do_not_cross():
    features, labels, anchors = random_case()
    stepping = Stepping(**STEPPING | {"max_steps": 1})
    with pytest.raises(ValueError, match=r"within max_steps = 1, got \d+ that do not; raise"):
        push_across(features, labels, anchors, stepping, extra_steps=2)


def test_rows_that_do_not_cross_are_moved_by_k_and_c_steps_where_they_are_kept():
    features, labels, anchors = random_case()
    stepping = Stepping(**STEPPING | {"max_steps": 4})
    steps, crossed, _ = count_steps(features, labels, anchors, stepping)
    assert 0 < crossed.sum() < len(crossed)
    found = push_across(features, labels, anchors, stepping, extra_steps=2, uncrossed="keep")
    z = features.clone()
    for step in range(4 + 2):
        moving = step < steps + 2  # steps is K where a row never crosses
        z[moving] = perturb(z[moving], labels[moving], anchors, step_size=0.05, temperature=0.1)
    torch.testing.assert_close(found, z)


def test_push_across_rejects_negative_extra_steps():
    with pytest.raises(ValueError, match="extra_steps must be >= 0, got -1"):
        push_across(*random_case(), Stepping(**STEPPING), extra_steps=-1)


def test_noise_has_the_standard_deviation_sigma():
    z = torch.zeros(50, 400)
    noise = add_noise(z, [("cat", row) for row in range(50)], sigma=0.03, seed=0)
    assert noise.std().item() == pytest.approx(0.03, rel=0.02)
    assert abs(noise.mean().item()) < 0.001


def test_noise_depends_on_the_item_and_the_seed_alone():
    z = torch.zeros(2, 8)
    noise = add_noise(z, [("cat", 4), ("dog", 7)], sigma=1.0, seed=0)
    swapped = add_noise(z, [("dog", 7), ("cat", 4)], sigma=1.0, seed=0)
    assert torch.equal(noise, swapped.flip(0))
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(noise, add_noise(z, [("cat", 4), ("dog", 7)], sigma=1.0, seed=1))


def test_leave_centroid_by_hand():
    z = torch.tensor([[3.0, 4.0], [0.0, 2.0], [1.0, 1.0]])
    means = class_means(z, torch.tensor([0, 0, 1]), 2)
    torch.testing.assert_close(means, torch.tensor([[1.5, 3.0], [1.0, 1.0]]))
    found = leave_centroid(z[:1], torch.tensor([[3.0, 1.0]]), shift=0.5)
    torch.testing.assert_close(found, torch.tensor([[3.0, 6.5]]))


def test_leave_centroid_rejects_a_feature_at_its_centroid():
    with pytest.raises(ValueError, match=r"feature - class centroid must be .* two different"):
        leave_centroid(torch.ones(1, 2), torch.ones(1, 2), shift=0.5)


@pytest.mark.parametrize(
    ("rescale", "expected"),
    [("anchor", [1.2, 1.6]), ("anchor_no_renorm", [6.0, 8.0]), ("none", [3.0, 4.0])],
)
def test_rescale_by_hand(rescale, expected):
    found = rescale_vectors(torch.tensor([[3.0, 4.0]]), torch.tensor([2.0]), rescale=rescale)
    torch.testing.assert_close(found, torch.tensor([expected]))


# --- from files to files ---

SETTINGS = {
    "sampler": "bood", "select": "boundary", "rate": 0.2, "scope": "per_class",
    "misclassified": "drop",
    "uncrossed": "skip",
    "perturb": "adversarial", "extra_steps": 2, "rescale": "anchor",
    "seed": 0, **STEPPING,
}  # fmt: skip


def run(tmp_path, *, distances=True, **changes):
    """Run the stage on the random case with some settings changed; None takes one away."""
    features, labels, anchors = random_case()
    settings = {key: value for key, value in (SETTINGS | changes).items() if value is not None}
    steps, crossed, margin = count_steps(features, labels, anchors, Stepping.of(settings))
    inputs = {
        "distances": fake_artifacts.make(
            tmp_path,
            "distances",
            arrays={
                "steps": steps.numpy(),
                "crossed": crossed.numpy(),
                "margin": margin.numpy(),
                "exact": np.ones(len(steps), bool),
            },
        ),
        "features": fake_artifacts.make(
            tmp_path, "features", arrays={"features": features.numpy(), "labels": labels.numpy()}
        ),
        "anchors": fake_artifacts.make(
            tmp_path,
            "anchors",
            arrays={"anchors": anchors.numpy()},
            files={"anchors.json": {"classes": CLASSES}},
        ),
    }
    if not distances:
        del inputs["distances"]
    made = fake_artifacts.run_stage(tmp_path, ood_features.main, "ood_features", settings, inputs)
    return made, features, labels, anchors, steps


@pytest.mark.parametrize("feature_space", ["unit", "raw"])
def test_main_selects_pushes_and_rescales(tmp_path, capsys, feature_space):
    made, features, labels, anchors, steps = run(tmp_path, feature_space=feature_space)
    rows, counts = made["rows"][:], made.json("ood_features.json")
    assert counts["selected"] == {"cat": 6, "dog": 6, "owl": 6}
    assert made["labels"][:].tolist() == [0] * 6 + [1] * 6 + [2] * 6
    np.testing.assert_array_equal(labels[rows], made["labels"][:])
    np.testing.assert_array_equal(steps[rows], made["steps"][:])
    start = F.normalize(features, dim=1) if feature_space == "unit" else features
    z = push_across(start[rows], labels[rows], anchors, Stepping(**STEPPING), extra_steps=2)
    expected = F.normalize(z, dim=1) * anchors[labels[rows]].norm(dim=1, keepdim=True)
    torch.testing.assert_close(torch.from_numpy(made["vectors"][:]), expected)
    assert made.rows == {"vectors": 18}
    assert made["vectors"].dtype == np.float32
    log = capsys.readouterr().err
    for y, name in enumerate(CLASSES):
        cut = counts["cut"][name]
        assert counts["tie_mass"][name] == int(((steps == cut) & (labels == y)).sum())
        assert f"cut at d = {cut}, where {counts['tie_mass'][name]} rows tie" in log
        assert counts["dropped_misclassified"][name] == int(((steps == 0) & (labels == y)).sum())
    assert sum(counts["dropped_misclassified"].values()) > 0
    assert "distances d to the boundary, in steps:" in log


@pytest.mark.parametrize(
    "changes",
    [
        {"perturb": "none", "extra_steps": None},
        {"perturb": "gaussian", "extra_steps": None, "sigma": 0.05},
        {"perturb": "centroid", "extra_steps": None, "shift": 0.5},
    ],
)
def test_main_perturbs_as_told(tmp_path, changes):
    made, features, labels, _, _ = run(tmp_path, select="random", rescale="none", **changes)
    rows = made["rows"][:]
    start = features[rows]
    match changes["perturb"]:
        case "none":
            expected = start
        case "gaussian":
            items = [(CLASSES[labels[row]], int(row)) for row in rows]
            expected = add_noise(start, items, sigma=0.05, seed=0)
        case "centroid":
            means = torch.stack([features[labels == y].mean(0) for y in range(3)])
            expected = leave_centroid(start, means[labels[rows]], shift=0.5)
    torch.testing.assert_close(torch.from_numpy(made["vectors"][:]), expected)
    assert made.json("ood_features.json")["cut"] == {}


def test_main_leaves_no_artifact_when_a_class_is_empty(tmp_path):
    with pytest.raises(ValueError, match=r"got 0 of 30 for cat at rate 0\.01"):
        run(tmp_path, rate=0.01)
    assert not list(tmp_path.glob("artifacts/ood_features/made/*/manifest.json"))


def test_facts_hold_the_counts(tmp_path):
    made, *_ = run(tmp_path)
    facts = json.loads((made.folder / "run.json").read_text(encoding="utf-8"))
    assert facts["selected"] == {"cat": 6, "dog": 6, "owl": 6}
