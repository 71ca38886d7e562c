"""What only GPUs ask for, forced on the CPU: fused and foreach optimisers, compiled losses, bf16,
and tensors that lie on another device than the host's (torch's fake tensors: shapes and devices
are kept, numbers are not)."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bood_tasks.catalogue.methods import PACKAGED
from bood_tasks.catalogue.scores import SCORES
from bood_tasks.detectors.methods import gcos, vos
from bood_tasks.networks import float64 as exact
from bood_tasks.scoring.posthoc.table import score_named
from bood_tasks.scoring.scores import as_outputs, of_outputs
from bood_tasks.synthesis.samplers import gcos as gcos_shell
from bood_tasks.training import fit as training
from bood_tasks.training.recipe import Recipe
from tests.detectors.test_methods import (
    EACH,
    RECIPE,
    SETTINGS,
    after_steps,
    batch,
    step_of,
    train,
)  # fmt: skip

ROOT = Path(__file__).parents[2]
FITS = {
    "knn": {"neighbours": 3}, "vim": {"dimension": None}, "react": {"percentile": 90},
    "dice": {"sparsity": 50}, "gen": {"gamma": 0.1, "classes": 2}, "scale": {"percentile": 50},
    "ash": {"variant": "s", "percentile": 50}, "nnguide": {"neighbours": 3, "share": 1.0},
}  # fmt: skip
ADAM = Recipe(4, 6, 1e-3, 1e-4, 2, True, 1, optimiser="adam")
OPTIMISERS = ("SGD", "Adam", "AdamW")


def always(kind, **more):
    """An optimiser of torch's that is always of one implementation."""

    class Forced(kind):
        def __init__(self, parameters, *args, **given):
            given.pop("fused", None)
            super().__init__(parameters, *args, **given, **more)

    return Forced


def force(implementation, monkeypatch):
    for name in OPTIMISERS:
        forced = always(getattr(torch.optim, name), **{implementation: True})
        monkeypatch.setattr(torch.optim, name, forced)


@pytest.fixture(params=["fused", "foreach"])
def implementation(request, monkeypatch):
    force(request.param, monkeypatch)
    return request.param


def same(one, other, **within):
    for name, value in one.state_dict().items():
        torch.testing.assert_close(
            value, other.state_dict()[name], msg=lambda text, name=name: f"{name}: {text}", **within
        )


@EACH
@pytest.mark.parametrize("recipe", [RECIPE, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("chosen", ["fused", "foreach"])
def test_the_implementation_of_an_optimiser_changes_nothing(
    module, recipe, chosen, tmp_path, monkeypatch
):
    """Also where some parameters get their first gradient later than others."""
    monkeypatch.setattr("tests.detectors.test_methods.RECIPE", recipe)
    plain, _ = train(module, tmp_path / "plain")
    force(chosen, monkeypatch)
    forced, _ = train(module, tmp_path / "forced")
    same(plain, forced, rtol=2e-2, atol=3e-3)


@EACH
@pytest.mark.parametrize("recipe", [RECIPE, ADAM], ids=["sgd", "adam"])
def test_a_killed_run_of_such_an_optimiser_ends_with_the_same_weights(
    module, recipe, tmp_path, monkeypatch
):
    force("fused", monkeypatch)
    monkeypatch.setattr("tests.detectors.test_methods.RECIPE", recipe)
    for name in ("STEPS_PER_POINT", "STEPS_PER_CHECKPOINT"):
        monkeypatch.setattr(training, name, 1)
    monkeypatch.setattr(training, "CHECKPOINT_SHARE", 1e9)
    whole, curve = train(module, tmp_path / "a")
    original, alive = training.save_checkpoint, [5]

    def dies(*given):
        original(*given)
        alive[0] -= 1
        if not alive[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "save_checkpoint", dies)
    with pytest.raises(KeyboardInterrupt):
        train(module, tmp_path / "b")
    resumed, again = train(module, tmp_path / "b")
    assert curve == again
    same(whole, resumed, rtol=0, atol=0)


@pytest.mark.long
@pytest.mark.parametrize(("backend", "within"), [("eager", 1e-4), ("inductor", 0.2)])
def test_compiled_losses_train_the_same_weights(backend, within, tmp_path):
    """Traced and guarded alone, and compiled in earnest.

    Fused kernels round otherwise, and a small network at a large rate carries that on: weights of
    the GAN's classifier were .08 apart after these steps.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.detectors.train_compiled", backend, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == PACKAGED
    assert {name: value for name, value in found.items() if not value <= within} == {}


@EACH
def test_bf16_trains_beside_float32(module, tmp_path, implementation, monkeypatch):
    """With fused optimisers, on weights in the memory order of a GPU's convolutions."""
    _, plain = train(module, tmp_path / "plain")
    mixed = Recipe(**vars(RECIPE) | {"precision": "bf16"})
    monkeypatch.setattr("tests.detectors.test_methods.RECIPE", mixed)
    model, curve = train(module, tmp_path / "mixed")
    assert all(value.dtype in (torch.float32, torch.int64) for value in model.state_dict().values())
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert curve[-1]["loss"] == pytest.approx(plain[-1]["loss"], rel=0.2, abs=0.2)
    wide = [
        weight for weight in model.network.parameters() if weight.ndim == 4 and weight.shape[1] > 1
    ]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in wide)


class NoFloat64(TorchDispatchMode):
    """Refuses float64 on a device, as Apple's MPS does."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **kwargs or {})
        for value in tree_leaves(made):
            if isinstance(value, torch.Tensor) and value.device.type == "cuda":
                assert value.dtype != torch.float64, f"{function} makes float64 on the device"
        return made


@pytest.fixture(params=[True, False], ids=["float64", "no float64"])
def elsewhere(request, monkeypatch):
    """A device that is not the host's, with float64 or without: a tensor of one that meets a
    tensor of the other is an error."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda values: values)  # fakes cannot be
    if request.param:
        return contextlib.nullcontext()
    monkeypatch.setattr(exact, "WITHOUT", ("cuda",))
    return NoFloat64()


def there(value, device, mode):
    return FakeTensor(mode, value.to("meta"), torch.device(device))


def on(device, model, mode):
    """The model with fake weights there, made from real ones."""
    real = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, value in real.items():
        owner, _, leaf = name.rpartition(".")
        fake = there(value.detach(), device, mode)
        if value.requires_grad:
            fake = torch.nn.Parameter(fake)
        holder = model.get_submodule(owner)
        table = holder._parameters if leaf in holder._parameters else holder._buffers
        table[leaf] = fake
    return model


@EACH
def test_a_loss_and_its_outputs_lie_on_one_device(module, elsewhere, monkeypatch):
    """The loss and what scores read; a backward pass would need the device itself."""
    model, (x, y) = after_steps(module), batch(module)
    if module == "vos":  # scipy draws them from the numbers themselves
        drawn = torch.ones(2, SETTINGS["vos"]["selected"], model.sampling["size"])
        monkeypatch.setattr(vos, "unlikeliest", lambda rng, **given: drawn.clone())
    if module == "ascood":  # a backward pass of its own
        monkeypatch.setattr(type(model), "attribution", lambda self, x, y: torch.zeros_like(x))
    if module == "gcos":  # numbers decide which axes leave the manifold
        classes, size, _ = model.queue.features.shape
        places = torch.arange(classes * size)
        shell = gcos.fit_shell(
            model.queue.features.flatten(0, 1), places // size, places % 4 == 3, classes=classes,
            **model.shell,
        )  # fmt: skip

        def shell_there(*given, **how):
            assert {item.device.type for item in given} == {"cuda"}
            moved = {
                key: there(value, "cuda", mode) if isinstance(value, torch.Tensor) else value
                for key, value in vars(shell).items()
            }
            return gcos_shell.Shell(**moved)

        monkeypatch.setattr(gcos, "fit_shell", shell_there)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, elsewhere, torch.no_grad():
        model, x, y = on("cuda", model, mode), there(x, "cuda", mode), there(y, "cuda", mode)
        terms = model.loss(x, y, step_of(6))
        assert {value.device.type for value in terms.values()} == {"cuda"}
        model.eval()
        assert {value.device.type for value in model.outputs(x).values()} == {"cuda"}


@pytest.mark.parametrize("name", sorted(score for score in SCORES if not SCORES[score].gradients))
def test_a_score_of_a_device_s_outputs(name, elsewhere):
    """The state lies where float64 is (float64_device); numbers in it stand for themselves."""
    rng = torch.Generator().manual_seed(0)
    head, count = torch.nn.Linear(12, 3), 40
    rows = {key: torch.rand(count, 12, generator=rng) for key in ("features", "stage0", "stage1")}
    given = rows | {"logits": head(rows["features"]).detach(), "labels": torch.arange(count) % 3}
    if SCORES[name].output:
        given[SCORES[name].output] = given["logits"][:, 0]
    state = {}
    settings = {"score": name, **FITS.get(name, {})}
    if SCORES[name].fits or SCORES[name].held_out:
        state = score_named(name, settings).fit(as_outputs(given, head))
    if SCORES[name].validated:
        state = score_named(name).weigh(state, as_outputs(given), as_outputs(given))
    expected = of_outputs(settings, given, state)
    state = {key: value if value.ndim else value.item() for key, value in state.items()}
    place = exact.float64_device("cuda")
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, elsewhere, torch.no_grad():
        there_too = {key: there(value, "cuda", mode) for key, value in given.items()}
        state = {
            key: there(value, place, mode) if isinstance(value, torch.Tensor) else value
            for key, value in state.items()
        }
        found = of_outputs(settings, there_too, state)
        assert found.shape == expected.shape
        assert found.dtype == torch.float32
