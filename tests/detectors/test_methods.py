"""What every trained method of the package must do, and that its catalogue entry says the truth."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.spec import digest_of
from bood_tasks.artifacts.store import Artifact, Draft
from bood_tasks.catalogue.methods import CONFIDENCE, METHODS, PACKAGED
from bood_tasks.config.detectors import Detector
from bood_tasks.detectors.detector import train_detector
from bood_tasks.detectors.model import DESCRIPTION, build, load_model, method_class
from bood_tasks.networks.weights import save_weights
from bood_tasks.training import fit as training
from bood_tasks.training.recipe import Recipe, Step
from tests import fake_artifacts

PICTURES = {"network": "resnet", "depth": 18, "width": 2, "stem": "strided", "classes": 2}
TEXTS = {"network": "gru", "vocabulary": 9, "embedding": 3, "hidden": 4, "layers": 1, "classes": 2}
SETTINGS = {
    "cross_entropy": {},
    "energy_regulariser": {
        "ood_weight": 1.0, "reduction": "mean", "phi": "mlp", "soft_labels": None,
        "soft_weight": 0.5, "distance_margin": None,
    },
    "godin": {},
    "gan": {"size": 16, "width": 2, "kl_weight": 1.0},
    "vos": {"queue": 4, "candidates": 50, "selected": 2, "weight": 0.1, "start": 0.4},
    "npos": {
        "embedding": 5, "temperature": 0.1, "prototype_momentum": 0.95, "dispersion_weight": 0.5,
        "queue": 4, "neighbours": 2, "boundary": 3, "points": 2, "candidates": 20, "kept": 2,
        "sigma": 0.1, "outlier_weight": 0.1, "phi_lr": 1.0, "start": 0.4,
    },
    "hamos": {
        "embedding": 5, "temperature": 0.1, "prototype_momentum": 0.95, "dispersion_weight": 0.5,
        "queue": 4, "neighbours": 2, "adjacent": 4, "rounds": 2, "leapfrogs": 3, "step_size": 0.1,
        "kappa": 2.0, "margin": 0.2, "weight": 0.1, "start": 0.4,
    },
    "gcos": {
        "queue": 4, "selected": 2, "weight": 0.1, "start": 0.4, "variance": 0.9, "inner": 0.9,
        "outer": 0.99,
    },
    "ascood": {
        "outliers": "shuffle", "share": 0.1, "weight": 1.0, "sigma": 0.5, "alpha_first": 3.0,
        "alpha_last": 1.0, "head_lr": 0.5,
    },
    "outlier_exposure": {"loss_weight": 0.5, "weighting": "balanced"},
}  # fmt: skip
RECIPE = Recipe(4, 6, 0.1, 0, 2, True, 1)  # 8 steps; with a `start`, outliers from the 5th
ENTRIES = {entry.module: entry for entry in METHODS.values()}
EACH = pytest.mark.parametrize("module", sorted(PACKAGED))


def described(module, shape=PICTURES):
    return shape | {"method": module, "settings": SETTINGS[module]}


def drawn(module, shape=PICTURES):
    torch.manual_seed(0)
    return build(described(module, shape))


def batch(module, *, texts=False):
    """Six ID rows, and as many outliers where the method needs them; the labels."""
    rng = torch.Generator().manual_seed(5)
    count = 12 if ENTRIES[module].needs_outliers else 6
    x = torch.randn(count, 3, 16, 16, generator=rng)
    if texts:
        x = torch.randint(1, 9, (count, 7), generator=rng)
    return x, torch.tensor([0, 0, 1, 1, 0, 1])


def step_of(number):
    return Step(number, 10, torch.Generator().manual_seed(number))


def after_steps(module, **more):
    """The model after five steps, whose outliers, where it makes its own, have begun."""
    model = drawn(module)
    x, y = batch(module, **more)
    for number in range(5):
        model.loss(x + 0.1 * number, y, step_of(number))
    return model


def train(module, checkpoint):
    rng = np.random.default_rng(0)
    images, others = (rng.integers(0, 256, (12, 16, 16, 3), dtype=np.uint8) for _ in range(2))
    model, curve, _ = train_detector(
        images, np.arange(12) % 2, [(others, 1.0)] if ENTRIES[module].needs_outliers else [],
        RECIPE, described(module), seed=0, checkpoint=checkpoint, device="cpu",
    )  # fmt: skip
    return model, curve


@EACH
def test_a_killed_run_ends_with_the_same_weights(module, tmp_path, monkeypatch):
    """Weights, statistics, queues and optimisers of every kind come back from the checkpoint."""
    monkeypatch.setattr(training, "STEPS_PER_POINT", 1)
    monkeypatch.setattr(training, "STEPS_PER_CHECKPOINT", 1)
    monkeypatch.setattr(training, "CHECKPOINT_SHARE", 1e9)
    method = method_class(module)
    original, alive, steps = method.loss, [99], []

    def dies(self, x, y, step):
        steps.append(step.number)
        if step.number == alive[0]:
            raise KeyboardInterrupt
        return original(self, x, y, step)

    monkeypatch.setattr(method, "loss", dies)
    whole, curve = train(module, tmp_path / "a")
    if "start" in SETTINGS[module]:
        assert [point["ood"] > 0 for point in curve] == [False] * 4 + [True] * 4
    alive[0] = 6
    with pytest.raises(KeyboardInterrupt):
        train(module, tmp_path / "b")
    alive[0], steps[:] = 99, []
    resumed, again = train(module, tmp_path / "b")
    assert steps == [6, 7]
    assert curve == again
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@EACH
def test_state_gives_the_same_next_loss(module):
    first, second = after_steps(module), drawn(module)
    second.load_state_dict(first.state_dict())
    x, y = batch(module)
    both = [model.loss(x, y, step_of(5)) for model in (first, second)]
    assert both[0]["loss"].isfinite()
    assert both[0].get("ood", 1) > 0
    assert {k: v.item() for k, v in both[0].items()} == {k: v.item() for k, v in both[1].items()}


@EACH
def test_a_loaded_model_gives_what_the_saved_one_gave(module, tmp_path):
    spec = fake_artifacts.identity("detector", {"method": module})
    manifest = tmp_path / "artifacts/detector" / module / digest_of(spec) / "manifest.json"
    model = after_steps(module).eval()
    with Draft(manifest, spec) as draft:
        save_weights(model, draft.folder / "model.safetensors")
        write_json(draft.folder / DESCRIPTION, described(module))
        draft.finish()
    loaded, (x, _) = load_model(Artifact(manifest), "cpu"), batch(module)
    assert not loaded.training
    found = loaded.outputs(x)
    torch.testing.assert_close(found["logits"], loaded(x))
    for name, values in model.outputs(x).items():
        assert len(values) == len(x)
        torch.testing.assert_close(found[name], values)


@EACH
def test_every_weight_has_one_optimiser(module):
    model = drawn(module)
    owned = [
        id(weight)
        for optimiser in model.optimisers(RECIPE)
        for group in optimiser.param_groups
        for weight in group["params"]
    ]
    assert sorted(owned) == sorted(id(weight) for weight in model.parameters())


@EACH
def test_gradients_in_bf16_are_finite(module):
    model = after_steps(module)
    with torch.autocast("cpu", torch.bfloat16):
        terms = model.loss(*batch(module), step_of(5))
    terms["loss"].backward()
    assert all(w.grad is None or w.grad.isfinite().all() for w in model.parameters())
    assert any(w.grad is not None and w.grad.any() for w in model.network.parameters())


@EACH
def test_an_entry_names_the_settings_of_its_class(module):
    entry = ENTRIES[module]
    own = inspect.signature(method_class(module)).parameters.keys() - {"network", "classes"}
    section = getattr(Detector(), entry.section).model_dump() if entry.section else {}
    assert {*section, *entry.keys} == own - ({"size"} if entry.sized else set())
    assert set(entry.keys) <= set(Detector.model_fields)
    assert set(SETTINGS[module]) == own


@EACH
def test_an_entry_says_whether_the_logits_are_one_linear_layer(module):
    model, (x, _) = after_steps(module).eval(), batch(module)
    found, head = model.outputs(x), model.network.head
    reads = isinstance(head, nn.Linear) and head.in_features == found["features"].shape[1]
    linear = reads and torch.equal(head(found["features"]), found["logits"])
    assert linear == ENTRIES[module].linear


@EACH
def test_an_entry_names_the_score_that_the_method_alone_has(module):
    model, (x, _) = after_steps(module).eval(), batch(module)
    own, found = ENTRIES[module].own_score, model.outputs(x)
    assert hasattr(model, "confidence") == (own == CONFIDENCE)
    if own:
        assert module in ENTRIES[module].scores
        assert (model.confidence(x) if own == CONFIDENCE else found[own]).shape == (len(x),)


@pytest.mark.parametrize("module", sorted(m for m, entry in ENTRIES.items() if entry.texts))
def test_a_method_that_takes_texts_learns_from_tokens(module):
    model, (x, y) = drawn(module, TEXTS), batch(module, texts=True)
    for number in range(6):
        terms = model.loss(x, y, step_of(number))
    assert terms["loss"].isfinite()
    assert model.outputs(x)["logits"].shape == (len(x), 2)
