"""A device against the CPU, and batches against batches, within tolerances that an H200 gave:
float32 there may be TF32's or another order of sums."""

import numpy as np
import pytest
import torch

from bood_tasks import EMBEDDED
from bood_tasks.catalogue.methods import METHODS
from bood_tasks.catalogue.scores import SCORES
from bood_tasks.generators.biggan.biggan import Generator, Shape
from bood_tasks.generators.pixels import to_uint8
from bood_tasks.generators.text_to_image.interface import load
from bood_tasks.scoring.posthoc.table import score_named
from bood_tasks.scoring.scores import as_outputs
from bood_tasks.synthesis.shards import Batches, fitting_batch, item_noise
from bood_tasks.synthesis.stepping import Stepping, count_steps
from bood_tasks.training.fit import fit
from bood_tasks.training.loading import load_where_it_fits
from bood_tasks.training.recipe import Recipe
from tests.detectors.test_forced import FITS
from tests.detectors.test_methods import ENTRIES, described
from tests.generators.test_language_model import lively

DECODED = {"images": 8, "steps": 25, "guidance": 3.0}
# Sampler, dtype: mean and largest difference in grey levels, share of pixels by more than one.
FROM_AN_H200 = {
    ("pndm", "float32"): (0.5, 24, 0.06),
    ("ddim", "float32"): (0.1, 4, 0.01),
    ("unipc", "float32"): (0.1, 4, 0.01),
    ("pndm", "float16"): (2.0, 255, 1.0),
    ("pndm", "bfloat16"): (12.0, 255, 1.0),
}


def decoded(device, *, dtype="float32", scheduler="pndm", batch=DECODED["images"]):
    """The shipped generator's pictures of its classes, all from the same noise."""
    generator = load(EMBEDDED / "generator", device, dtype=dtype, scheduler=scheduler)
    words = ["tshirt", "coat", "bag", "boot"]
    table, _ = generator.anchor_table({word: word for word in words})
    which = np.arange(DECODED["images"]) % len(words)
    noise = item_noise(generator.noise_shape(None), 0, "images", which.tolist(), range(len(which)))

    def rows(chosen):
        vectors = torch.from_numpy(table[which[chosen]])
        conditions = generator.encode("a photo of a {class}", vectors)
        settings = {key: DECODED[key] for key in ("steps", "guidance")}
        return generator.decode(conditions, noise[chosen], **settings)

    with torch.inference_mode():
        made = list(Batches(rows, batch, pad=False)(0, len(which)))
    return torch.cat(made).cpu().numpy().astype(int)


@pytest.fixture(scope="module")
def on_cpu():
    return {name: decoded("cpu", scheduler=name) for name in ("pndm", "ddim", "unipc")}


@pytest.mark.parametrize(("scheduler", "dtype"), FROM_AN_H200)
def test_pictures_are_the_cpu_s(device, on_cpu, scheduler, dtype):
    if device == "cpu" and dtype != "float32":
        scheduler, dtype = "pndm", "float32"  # half precision takes a CPU minutes
    difference = abs(decoded(device, dtype=dtype, scheduler=scheduler) - on_cpu[scheduler])
    mean, largest, share = FROM_AN_H200[scheduler, dtype]
    assert difference.mean() <= mean
    assert difference.max() <= largest
    assert (difference > 1).mean() <= share


def test_pictures_do_not_depend_on_their_batch(device):
    difference = abs(decoded(device) - decoded(device, batch=3))
    assert difference.mean() <= 0.5
    assert (difference > 1).mean() <= 0.06


def trained(module, device, folder, recipe):
    """A method's loss curve and weights after a few steps there."""
    from bood_tasks.detectors.model import build

    rng = np.random.default_rng(0)
    images, others = (rng.integers(0, 256, (12, 16, 16, 3), dtype=np.uint8) for _ in range(2))
    torch.manual_seed(0)
    model = build(described(module)).to(device, memory_format=torch.channels_last)
    outliers = [(load_where_it_fits(others, device), 1.0)] if ENTRIES[module].needs_outliers else []
    folder.mkdir(exist_ok=True)
    curve, _ = fit(
        model, lambda net, x, y, step: net.loss(x, y, step), load_where_it_fits(images, device),
        torch.arange(12) % 2, recipe, stage="detector", seed=0,
        checkpoint=folder / "c.safetensors", outliers=outliers,
        optimisers=model.optimisers(recipe),
    )  # fmt: skip
    return curve, {name: value.cpu() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("module", sorted({entry.module for entry in METHODS.values()}))
def test_every_method_trains_as_on_the_cpu(module, optimiser, device, tmp_path):
    recipe = Recipe(4, 6, 0.01, 1e-4, 2, True, 1.0, optimiser=optimiser)
    curve, weights = trained(module, device, tmp_path / "device", recipe)
    expected, cpu_weights = trained(module, "cpu", tmp_path / "cpu", recipe)
    for point, wanted in zip(curve, expected, strict=True):
        assert point["loss"] == pytest.approx(wanted["loss"], rel=0.05, abs=0.02)
    assert all(value.isfinite().all() for value in weights.values())
    assert set(weights) == set(cpu_weights)


@pytest.mark.parametrize("module", sorted({entry.module for entry in METHODS.values()}))
def test_every_method_trains_in_bf16(module, device, tmp_path):
    recipe = Recipe(4, 6, 0.01, 1e-4, 2, True, 1.0, precision="bf16")
    curve, weights = trained(module, device, tmp_path / "device", recipe)
    assert np.isfinite([point["loss"] for point in curve]).all()
    assert all(value.isfinite().all() for value in weights.values())


@pytest.mark.parametrize(
    "name",
    [
        name for name, entry in SCORES.items()
        if entry.module and score_named(name).score and not score_named(name).weigh
    ],
)  # fmt: skip
def test_scores_are_the_cpu_s(name, device):
    from bood_tasks.networks.float64 import float64_device

    rng = torch.Generator().manual_seed(0)
    head = torch.nn.Linear(64, 5)
    rows = torch.rand(400, 64, generator=rng)
    found = []
    for place in ("cpu", float64_device(device)):
        head = head.to(place)
        features = rows.to(place)
        given = {"features": features, "logits": head(features).detach()}
        outputs = as_outputs(given | {"labels": (torch.arange(400) % 5).to(place)}, head)
        score = score_named(name, FITS.get(name, {}))
        state = score.fit(outputs) if score.fit else {}
        found.append(score.score(outputs, state).cpu())
    torch.testing.assert_close(*found, rtol=2e-3, atol=2e-3)


def test_steps_are_the_cpu_s(device):
    rng = torch.Generator().manual_seed(0)
    features, anchors = torch.randn(4000, 64, generator=rng), torch.randn(20, 64, generator=rng)
    labels = (features @ anchors.T).argmax(1)
    stepping = Stepping(step_size=0.015, max_steps=100, temperature=0.1, feature_space="unit")
    both = [
        count_steps(features.to(place), labels.to(place), anchors.to(place), stepping)[0].cpu()
        for place in ("cpu", device)
    ]
    assert (both[0] != both[1]).float().mean() <= 1e-3  # 2 of 50,000 on an H200


def test_a_biggan_draws_as_on_the_cpu(device):
    torch.manual_seed(0)
    generator = Generator(Shape(resolution=32, channels=8, latent=16, classes=3)).eval()
    z, y = torch.randn(8, 16), torch.arange(8) % 3
    with torch.inference_mode():
        both = [
            to_uint8(generator.to(place)(z.to(place), y.to(place)).float(), None, "bilinear").cpu()
            for place in ("cpu", device)
        ]
    assert (both[0].int() - both[1].int()).abs().max() <= 2


def test_a_language_model_draws_as_on_the_cpu(device):
    from bood_tasks.generators.language_model.transformer import sample

    uniforms = torch.rand(64, 12, generator=torch.Generator().manual_seed(0))
    both = [
        sample(lively().to(place), uniforms, temperature=1.0, start=2, never=(0, 2)).cpu()
        for place in ("cpu", device)
    ]
    assert (both[0] == both[1]).float().mean() >= 0.95


def test_a_batch_fits_the_memory_and_is_halved_where_it_does_not(device):
    """Real memory, of which the process may use 2 GiB."""
    limit, each = 2 * 2**30, 2**28  # bytes of the process, of one picture's work
    place = torch.device(device)

    def decode(count):
        if device == "cpu" and count > 4:  # which has no such limit
            raise torch.OutOfMemoryError("out of memory")
        work = torch.empty(count, each, dtype=torch.uint8, device=place)
        return work[:, :3].reshape(count, 1, 1, 3).zero_()

    if device == "cuda":
        total = torch.cuda.get_device_properties(place).total_memory
        torch.cuda.set_per_process_memory_fraction(limit / total)
    try:
        batches = Batches(lambda rows: decode(len(rows)), 32, pad=False)
        rows = torch.cat(list(batches(0, 40)))
        assert len(rows) == 40
        if device != "mps":
            assert 1 <= batches.size <= limit // each
            assert batches.halvings >= 2
        assert 1 <= fitting_batch(lambda n: decode(min(n, 4)), place) <= 64
    finally:
        if device == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0)
            torch.cuda.empty_cache()
