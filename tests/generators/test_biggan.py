"""BigGAN: its parts against references, its training, and the layouts of released generators."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import load_file, save_file

from bood_tasks import EMBEDDED
from bood_tasks.artifacts.store import Artifact
from bood_tasks.config.generators import GanTraining
from bood_tasks.generators.biggan import gan_generator
from bood_tasks.generators.biggan import training as gan_training
from bood_tasks.generators.biggan.biggan import (
    ConditionalNorm,
    Discriminator,
    Generator,
    Shape,
    discriminator_loss,
    generator_loss,
    in_effect,
    normalised,
    orthogonality,
    regularised,
    stand,
)
from bood_tasks.generators.biggan.biggan_deep import DeepGenerator, DeepShape
from bood_tasks.generators.biggan.layouts import WEIGHTS as FILE
from bood_tasks.generators.biggan.layouts import build, read_layout
from bood_tasks.networks.weights import require_fitting
from bood_tasks.synthesis import gan_images
from bood_tasks.synthesis.gan_images import deviation
from bood_tasks.synthesis.shards import item_noise
from tests import fake_artifacts

pytestmark = pytest.mark.usefixtures("nobodys_plan")

TINY = Shape(resolution=32, channels=2, latent=6, classes=3, shared=4, attention=16)
SETTINGS = {
    "source": "train", "channels": 4, "latent": 8, "shared": 4, "attention": 0, "steps": 6,
    "batch_size": 8, "d_steps": 2, "lr_g": 2e-4, "lr_d": 2e-4, "adam_eps": 1e-6, "ema": 0.9,
    "orthogonal": 1e-4,
    "flip": True, "precision": "fp32", "stored": "float32", "seed": 0,
}  # fmt: skip


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count=24, classes=3):
    """Class 0: bright above; 1: bright below; 2: bright on the left; 32 pixels."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    images = rng.integers(0, 60, (count, 32, 32, 3), dtype=np.uint8)
    images[labels == 0, :16] += 190
    images[labels == 1, 16:] += 190
    images[labels == 2, :, :16] += 190
    return images, labels.astype(np.int64)


def test_losses_by_hand():
    real, drawn = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0])
    assert discriminator_loss(real, drawn).item() == pytest.approx((0 + 0.5 + 2) / 3 + (0 + 1) / 2)
    assert generator_loss(drawn).item() == pytest.approx(1.5)


def test_orthogonality_and_its_gradient_by_hand():
    """Rows (1, 2), (3, 4): f = 1/2 (2 x 11^2); df/dw_i = 2 sum_j<i,j> w_j."""
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    loss = orthogonality([weight])
    assert loss.item() == pytest.approx(121)
    loss.backward()
    expected = 2 * 11 * torch.tensor([[3.0, 4.0], [1.0, 2.0]])
    torch.testing.assert_close(weight.grad, expected)
    assert orthogonality([torch.eye(3).view(3, 3, 1, 1)]).item() == 0


def test_orthogonality_spares_the_shared_embedding():
    names = dict(Generator(TINY).named_parameters())
    spared = [name for name, value in names.items() if value.ndim > 1]
    assert len(regularised(Generator(TINY))) == len(spared) - 1


@pytest.mark.parametrize("embedded", [False, True])
def test_conditional_norm_is_each_class_s_own_batch_norm(embedded):
    norm = ConditionalNorm(5, 3, embedded=embedded)
    for net in (norm.gain, norm.bias):
        torch.nn.init.normal_(net.weight, generator=stream())
    x, y = torch.randn(12, 5, 4, 4, generator=stream(1)), torch.arange(12) % 3
    given = F.one_hot(y, 3).float() if embedded else y
    norm.train()
    found = norm(x, given)
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    for label in range(3):
        gain, bias = (
            net.weight[:, label] if embedded else net.weight[label]
            for net in (norm.gain, norm.bias)
        )
        plain = (x[y == label] - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        expected = plain * (1 + gain[:, None, None]) + bias[:, None, None]
        torch.testing.assert_close(found[y == label], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.stored_mean, 0.1 * mean)
    norm.eval()
    assert not torch.allclose(norm(x, given), found)


def test_spectral_norm_divides_by_the_largest_singular_value():
    torch.manual_seed(0)
    generator = normalised(Generator(TINY)).train()
    for _ in range(30):  # power iterations
        generator(torch.randn(2, 6), torch.tensor([0, 1]))
    plain = in_effect(generator.eval())
    for name in ("linear.weight", "blocks.1.0.conv1.weight", "blocks.0.0.bn1.gain.weight"):
        largest = torch.linalg.svdvals(plain[name].flatten(1))[0]
        assert largest.item() == pytest.approx(1, abs=0.03)
    assert torch.linalg.svdvals(plain["shared.weight"])[0] < 0.9  # left alone


def test_weights_in_effect_are_a_plain_generator_s():
    torch.manual_seed(0)
    generator = normalised(Generator(TINY))
    generator.train()(torch.randn(4, 6), torch.arange(4) % 3)
    generator.eval()
    plain = Generator(TINY)
    plain.load_state_dict(in_effect(generator))
    z, y = torch.randn(4, 6), torch.arange(4) % 3
    torch.testing.assert_close(plain.eval()(z, y), generator(z, y))


def test_discriminator_s_projection_is_the_class_s_direction():
    torch.manual_seed(0)
    net = Discriminator(TINY).eval()
    x = torch.randn(2, 3, 32, 32)
    one, other = (net(x, torch.full((2,), label)) for label in (0, 2))
    features = F.relu(net.blocks(x)).sum((2, 3))
    expected = features @ (net.embed.weight[0] - net.embed.weight[2])
    torch.testing.assert_close(one - other, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 28}, "must have 32, 64, 128, 256 pixels a side, got 28"),
        ({"attention": 20}, "attention must be 0 or one of 8, 16, 32, got 20"),
        ({"hierarchical": True, "latent": 7}, "latent must be a multiple of 4"),
    ],
)
def test_shapes_that_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        Shape(**{"resolution": 32, "channels": 2, "latent": 8, "classes": 3} | change)


def trained(tmp_path, name, **more):
    images, labels = pictures()
    shape = Shape(resolution=32, channels=4, latent=8, classes=3, shared=4)
    return gan_training.train(
        images, labels, shape, SETTINGS | more, checkpoint=tmp_path / name, device="cpu"
    )


def test_a_killed_training_ends_with_the_same_weights(tmp_path, monkeypatch):
    whole, curve, _ = trained(tmp_path, "a")
    monkeypatch.setattr(gan_training, "STEPS_PER_POINT", 1)
    monkeypatch.setattr(gan_training, "STEPS_PER_CHECKPOINT", 2)
    calls = 0

    def dies(drawn):
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return generator_loss(drawn)

    monkeypatch.setattr(gan_training, "generator_loss", dies)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, "b")
    resumed, again, _ = trained(tmp_path, "b")
    assert calls == 8  # steps 5 and 6: one lost step is done again, four are not
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert again[-1]["step"] == curve[-1]["step"] == 6


def test_too_few_pictures_are_refused(tmp_path):
    with pytest.raises(ValueError, match="batch_size must be at most the 24 training pictures"):
        trained(tmp_path, "a", batch_size=25)


def distance(one, other):
    """Squared MMD with a Gaussian kernel over 8 x 8 pixels, biased."""
    flat = [F.avg_pool2d(x, 4).flatten(1).double() for x in (one, other)]
    both = torch.cat(flat)
    squared = torch.cdist(both, both) ** 2
    kernel = torch.exp(-squared / squared.median())
    n = len(flat[0])
    return (kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()).item()


@pytest.mark.long
def test_training_brings_pictures_much_closer_to_the_data(tmp_path):
    images, labels = pictures(96)
    shape = Shape(resolution=32, channels=6, latent=8, classes=3, shared=4)
    settings = SETTINGS | {
        "steps": 250, "batch_size": 24, "lr_g": 1e-3, "lr_d": 1e-3, "flip": False, "d_steps": 1,
        "ema": 0.95,
    }  # fmt: skip
    data = gan_training.to_pictures(images, "cpu")
    y, z = torch.from_numpy(labels), torch.randn(96, 8, generator=stream())
    found = []
    for steps in (1, 250):
        model, _, _ = gan_training.train(
            images, labels, shape, settings | {"steps": steps},
            checkpoint=tmp_path / f"{steps}", device="cpu",
        )  # fmt: skip
        with torch.no_grad():
            found.append(distance(model(z, y), data))
    assert found[1] < 0.75 * found[0]  # .27 and .62 of it with two seeds


# --- shards ---


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    """A generator's artifact as the stage leaves it, its weights random but lively."""
    root = tmp_path_factory.mktemp("gan")
    images, labels = pictures()
    data = fake_artifacts.make(
        root, "dataset",
        arrays={"train/images": images, "train/labels": labels},
        files={"dataset.json": {"classes": ["up", "down", "left"], "size": 32}},
    )  # fmt: skip
    settings = SETTINGS | {"steps": 2}
    return fake_artifacts.run_stage(
        root, gan_generator.main, "gan_generator", settings, {"dataset": data}
    )


def shard(root, generator, then=(), **more):
    settings = {
        "seed": 0, "scale": 3.0, "meaning": "std", "statistics": "stored",
        "start": 0, "stop": 7, "dtype": "float32", "saved_size": None, "kernel": "bilinear",
    } | more  # fmt: skip
    given = {"gan_generator": generator}
    return fake_artifacts.run_stage(root, gan_images.main, "gan_images", settings, given, then)


def test_pictures_that_are_not_finite_are_refused_with_the_setting(tmp_path, generator):
    with pytest.raises(
        ValueError, match=r"50 of 50 are not; set gan_images\.dtype: float32 \(now floa"
    ):
        shard(tmp_path, generator, dtype="float16", scale=1e8)
    assert not list(tmp_path.rglob("gan_images/**/manifest.json"))


def test_a_pack_is_made_by_one_job(tmp_path, generator, monkeypatch):
    first = shard(tmp_path / "pack", generator, then=["3-7", "7-9"], start=0, stop=3)
    packed = [Artifact(path) for path in sorted((tmp_path / "pack").rglob("manifest.json"))]
    assert [int(part["item"][0]) for part in sorted(packed, key=lambda p: p["item"][0])] == [
        0,
        3,
        7,
    ]
    alone = [shard(tmp_path / "alone", generator, start=a, stop=b) for a, b in ((3, 7), (7, 9))]
    made = {part.folder.name: part["images"][:] for part in packed}
    for part in (first, *alone):
        assert np.array_equal(made[part.folder.name], part["images"][:])


@pytest.mark.parametrize("statistics", ["stored", "standing"])
def test_items_do_not_depend_on_their_shard(tmp_path, generator, statistics, monkeypatch):
    monkeypatch.setattr(gan_images, "STANDING_BATCHES", 2)
    like = {"statistics": statistics}
    whole = shard(tmp_path, generator, **like)
    parts = [shard(tmp_path, generator, start=a, stop=b, **like) for a, b in ((0, 3), (3, 7))]
    for name in ("images", "labels", "item"):
        joined = np.concatenate([part[name][:] for part in parts])
        assert np.array_equal(joined, whole[name][:])
    assert whole["labels"][:].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert whole.json("outliers.json")["parameters"] == {
        "scale": 3, "meaning": "std", "statistics": statistics,
    }  # fmt: skip
    other = shard(tmp_path, generator, seed=1, **like)
    assert not np.array_equal(other["images"][:], whole["images"][:])


def test_at_scale_zero_a_class_has_one_picture_and_variance_rises_with_the_scale(
    tmp_path, generator
):
    spread = []
    for scale in (0.0, 1.0, 4.0):
        images = shard(tmp_path, generator, scale=scale, stop=60)["images"][:].astype(float)
        spread.append(np.mean([images[label::3].var(0).mean() for label in range(3)]))
    assert spread[0] == 0
    assert spread[0] < spread[1] < spread[2]


def test_variance_is_the_square_of_a_deviation(tmp_path, generator):
    one = shard(tmp_path, generator, scale=9.0, meaning="variance")
    other = shard(tmp_path, generator, scale=3.0)
    assert np.array_equal(one["images"][:], other["images"][:])


def test_standing_statistics_are_the_mean_of_the_batches_own():
    """One norm after the first layer's picture, by hand; and one batch is training mode itself."""
    torch.manual_seed(0)
    generator = Generator(TINY)
    batches = [(5 * torch.randn(16, 6), torch.arange(16) % 3) for _ in range(3)]
    with torch.no_grad():
        first = [generator.linear(z).view(16, -1, 4, 4) for z, _ in batches]
        expected = generator.train()(*batches[0])
    stand(generator, batches)
    norm = generator.blocks[0][0].bn1
    mean = torch.stack([x.mean((0, 2, 3)) for x in first]).mean(0)
    var = torch.stack([x.var((0, 2, 3)) for x in first]).mean(0)
    torch.testing.assert_close(norm.stored_mean, mean)
    torch.testing.assert_close(norm.stored_var, var)
    assert not generator.training
    stand(generator, batches[:1])
    with torch.no_grad():  # unbiased variance in one, biased in the other
        torch.testing.assert_close(generator(*batches[0]), expected, rtol=0.05, atol=0.02)
    assert norm.momentum == 0.1


def test_far_latents_saturate_by_stored_statistics_and_not_by_standing_ones():
    """GOE's samples at 50 have structure: they were drawn by the statistics of their batch."""
    folder = EMBEDDED / "biggan"
    described = json.loads((folder / "generator.json").read_text())
    shares = []
    for standing in (False, True):
        net = build(described)
        net.load_state_dict({k: v.float() for k, v in load_file(folder / FILE).items()})
        net.eval()
        batch = (50 * torch.randn(64, net.shape.latent, generator=stream()), torch.arange(64) % 8)
        if standing:
            stand(net, [batch])
        with torch.no_grad():
            inside = net(*batch)[:, :, 8:24, 8:24]
        shares.append((inside.abs() > 0.999).float().mean().item())
    assert shares[0] > 0.9
    assert shares[1] < 0.5


def test_a_deep_generator_has_no_standing_statistics():
    layers = [[True, 16, 16]]
    deep = DeepGenerator(
        DeepShape(8, channels=8, latent=4, classes=3, layers=layers, attention=9, eps=1e-4)
    )
    with pytest.raises(ValueError, match=r"gan_images\.statistics must be stored"):
        next(gan_images.standing_batches(deep, 2.0, 0, "cpu"))


PRESETS = EMBEDDED.parents[1] / "workflow/presets"


@pytest.mark.long
@pytest.mark.parametrize(("preset", "classes"), [("goe-cifar10", 10), ("goe-cifar100", 100)])
def test_the_presets_train_biggans_cifar_network_and_draw_from_it(
    tmp_path, preset, classes, monkeypatch
):
    """By its script, but for the counts; the parameters are those of its G and D at 32 pixels."""
    given = yaml.safe_load((PRESETS / f"{preset}.yaml").read_text())
    settings = GanTraining().model_dump() | given["gan_generator"]["train"]
    assert (settings["batch_size"] * settings["d_steps"], settings["steps"]) == (200, 500 * 250)
    images, labels = pictures(200, classes)
    names = [str(label) for label in range(classes)]
    data = fake_artifacts.make(
        tmp_path, "dataset", arrays={"train/images": images, "train/labels": labels},
        files={"dataset.json": {"classes": names, "size": 32}},
    )  # fmt: skip
    small = settings | {"source": "train", "steps": 1, "batch_size": 2}
    made = fake_artifacts.run_stage(
        tmp_path, gan_generator.main, "gan_generator", small, {"dataset": data}
    )
    state = load_file(made.folder / "generator.safetensors")
    ch = 4 * 64
    norm, conv, shortcut = 2 * classes * ch, 9 * ch * ch + ch, ch * ch + ch
    expected = 128 * 16 * ch + 16 * ch + 3 * (2 * norm + 2 * conv + shortcut)
    expected += 2 * ch + 9 * ch * 3 + 3
    assert sum(v.numel() for k, v in state.items() if "stored" not in k) == expected
    d = Discriminator(Shape(resolution=32, channels=64, latent=128, classes=classes))
    head = (9 * 3 * ch + ch + conv + 3 * ch + ch) + (2 * conv + shortcut) + 2 * (2 * conv)
    assert sum(v.numel() for v in d.parameters()) == head + ch + 1 + classes * ch
    monkeypatch.setattr(gan_images, "STANDING_BATCHES", 1)
    monkeypatch.setattr(gan_images, "STANDING_BATCH", 4)
    drawn = shard(tmp_path, made, **given["gan_images"] | {"stop": 2, "count": 2, "shard": 2})
    assert drawn["images"].shape == (2, 32, 32, 3)


@pytest.mark.parametrize("scale", [-1.0, math.nan, math.inf])
def test_scales_that_cannot_be_are_refused(scale):
    with pytest.raises(ValueError, match="scale must be finite and at least 0"):
        deviation(scale, "std")


def test_latents_are_standard_normal_and_each_item_s_own():
    many = item_noise([8], 0, "gan_images", range(2000))
    assert many.mean().abs() < 0.03
    assert many.std().item() == pytest.approx(1, abs=0.03)
    assert torch.equal(item_noise([8], 0, "gan_images", [5])[0], many[5])


def test_a_killed_shard_goes_on_after_its_last_block(tmp_path, generator, monkeypatch):
    whole = shard(tmp_path / "a", generator)["images"][:]
    monkeypatch.setattr(gan_images, "ROWS_PER_BLOCK", 2)
    monkeypatch.setattr(gan_images, "run_setting", lambda name: 2)
    calls, real = 0, gan_images.item_noise

    def dies(*given):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(gan_images, "item_noise", dies)
    with pytest.raises(KeyboardInterrupt):
        shard(tmp_path / "b", generator)
    resumed = shard(tmp_path / "b", generator)
    assert 3 < calls < 7
    assert np.array_equal(resumed["images"][:], whole)


def test_nan_in_the_generator_is_named_before_anything_is_drawn(tmp_path, generator):
    state = load_file(generator.folder / "generator.safetensors")
    state["linear.bias"][0] = math.nan
    with pytest.raises(ValueError, match=r"linear\.bias must be finite"):
        require_fitting(state, state, tmp_path / "x")


# --- released layouts ---


def with_spectral_norm(plain, names):
    """Return BigGAN-PyTorch's state: raw weights (here 3 x those in effect), u0 and sv0."""
    state = dict(plain)
    for name in names:
        stem, matrix = name.removesuffix(".weight"), plain[name].flatten(1)
        u, s, _ = torch.linalg.svd(matrix, full_matrices=False)
        state[name] = 3 * plain[name]
        state[f"{stem}.u0"] = u[:, :1].T.contiguous()
        state[f"{stem}.sv0"] = 3 * s[:1]
    return state


def released(shape):
    """A BigGAN-PyTorch checkpoint of a generator, and its weights in effect."""
    torch.manual_seed(1)
    plain = {name: value.clone() for name, value in Generator(shape).state_dict().items()}
    convolved = [
        name for name, value in plain.items()
        if value.ndim > 1 and name != "shared.weight" and (shape.shared or ".bn" not in name)
    ]  # fmt: skip
    for name in convolved:  # in effect: largest singular value 1
        plain[name] = plain[name] / torch.linalg.svdvals(plain[name].flatten(1))[0]
    return with_spectral_norm(plain, convolved), plain


CIFAR = Shape(resolution=32, channels=4, latent=16, classes=10)
IMAGENET = Shape(
    resolution=128, channels=8, latent=24, classes=5, shared=6, hierarchical=True, attention=64
)


@pytest.mark.parametrize("shape", [CIFAR, IMAGENET])
def test_biggan_pytorch_checkpoints_load(tmp_path, shape):
    state, plain = released(shape)
    torch.save(state, tmp_path / "G_ema.pth")
    settings = {"layout": "biggan-pytorch", "attention": shape.attention}
    found, described = read_layout(tmp_path / "G_ema.pth", settings)
    assert Shape(**described["shape"]) == shape
    assert set(found) == set(plain)
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)


def local(root, path, layout, **more):
    settings = {"source": "local", "layout": layout, "content": "x", **more}
    spec = fake_artifacts.identity("gan_generator", settings)
    out = root / "gan_generator" / "made" / fake_artifacts.digest_of(spec) / "manifest.json"
    gan_generator.main(["--out", str(out), "--spec", json.dumps(spec), "--source", str(path)])
    return fake_artifacts.Artifact(out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("blocks.1.0.conv2.bias"), r"lacks blocks\.1\.0\.conv2\.bias"),
        (lambda s: s.update({"blocks.1.0.extra": torch.ones(1)}), r"has also blocks\.1\.0\.extra"),
        (lambda s: s["output_layer.2.bias"].fill_(math.nan), r"output_layer\.2\.bias must be fin"),
        (lambda s: s.update({"linear.bias": torch.ones(3)}), r"linear\.bias must have the shape"),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused_by_name(tmp_path, change, message):
    state, _ = released(CIFAR)
    change(state)
    torch.save(state, tmp_path / "G.pth")
    with pytest.raises(ValueError, match=message):
        local(tmp_path, tmp_path / "G.pth", "biggan-pytorch", attention=0)


DEEP = DeepShape(
    resolution=16, channels=8, latent=6, classes=5, attention=1, eps=1e-4,
    layers=((False, 16, 16), (True, 16, 8), (True, 8, 1)),
)  # fmt: skip


def test_pytorch_pretrained_biggan_loads(tmp_path):
    torch.manual_seed(2)
    plain = {k: torch.rand_like(v) for k, v in DeepGenerator(DEEP).state_dict().items()}
    state = {}
    for name, value in plain.items():
        if name.endswith(("running_mean", "running_var")):
            rows = torch.rand(51, len(value))
            rows[-1] = value
            state[f"{name}s"] = rows
        elif value.ndim > 1 and name != "embeddings.weight":
            u, s, vh = torch.linalg.svd(value.flatten(1), full_matrices=False)
            plain[name] = value / s[0]
            state |= {f"{name}_orig": value, f"{name}_u": u[:, 0], f"{name}_v": vh[0]}
        else:
            state[name] = value
    torch.save(state, tmp_path / "pytorch_model.bin")
    facts = {
        "output_dim": 16, "z_dim": 6, "class_embed_dim": 6, "channel_width": 8, "num_classes": 5,
        "layers": [list(layer) for layer in DEEP.layers], "attention_layer_position": 1,
        "eps": 1e-4, "n_stats": 51,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(facts))
    made = local(tmp_path, tmp_path, "pytorch-pretrained-biggan")
    model = gan_generator.load_generator(made, "cpu")
    for name, value in plain.items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    pictures_ = model(torch.randn(2, 6), torch.tensor([0, 4]))
    assert pictures_.shape == (2, 3, 16, 16)
    made = shard(tmp_path, made, stop=3)
    assert made["images"].shape == (3, 16, 16, 3)


def test_our_own_layout_can_be_read_again(tmp_path, generator):
    again = local(tmp_path, generator.folder, "own")
    one, other = (load_file(x.folder / "generator.safetensors") for x in (generator, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    save_file({"x": torch.ones(1)}, tmp_path / "y.safetensors")
    with pytest.raises(FileNotFoundError, match=r"must hold generator\.json"):
        local(tmp_path, tmp_path, "own", seed=1)


def test_each_class_of_the_shipped_generator_is_near_its_own_data_and_no_other(tmp_path):
    made = local(tmp_path, EMBEDDED / "biggan", "own")
    model, names = gan_generator.load_generator(made, "cpu"), made.json("generator.json")["classes"]
    given = yaml.safe_load((EMBEDDED.parents[1] / "config.yaml").read_text())["datasets"][
        "fashion8"
    ]
    with np.load(EMBEDDED / "fashion_mnist.npz") as file:
        x, y = file["x_test"], file["y_test"]
    real = {
        name: F.pad(torch.from_numpy(x[y == label][:200]) / 127.5 - 1, (2, 2, 2, 2), value=-1)
        for name, label in given["classes"].items()
    }
    assert sorted(names) == sorted(real)
    z = torch.randn(64, model.shape.latent, generator=stream())
    for label, name in enumerate(names):
        y = torch.full((64,), label)
        with torch.no_grad():
            colours, untrained = model(z, y), Generator(model.shape).eval()(z, y)
        data = real[name][:64, None].expand(-1, 3, -1, -1)
        assert distance(colours, data) < 0.2 * distance(untrained, data)
        drawn = colours.mean(1)
        far = {
            other: (drawn.mean(0) - data.mean(0)).square().mean() for other, data in real.items()
        }
        assert min(far, key=far.get) == name
