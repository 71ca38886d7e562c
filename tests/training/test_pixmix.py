import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import torch
from scipy.stats import beta as beta_distribution
from scipy.stats import kstest

from bood_tasks.training.pixmix import (
    OPERATIONS,
    Changes,
    affine,
    changed,
    draw,
    mix,
    mixed_by,
    pixmix,
)

HOW = {"rounds": 4, "beta": 3.0, "severity": 3.0}


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(count=6, size=24, seed=0):
    """Smooth pictures with an edge and a flat one, and the whole range of one channel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    found = []
    for _ in range(count):
        waves = [
            np.sin(6 * (rng.random() * x + rng.random() * y) + 6 * rng.random()) for _ in "rgb"
        ]
        found.append(100 + rng.integers(20, 90) * np.stack(waves))
    found[-1][:] = 77
    return torch.from_numpy(np.rint(np.clip(found, 0, 255)).astype(np.uint8))


def one(name, level, sign=1.0, count=6):
    number = OPERATIONS.index(name)
    return Changes(
        torch.full((count,), number), torch.full((count,), float(level)), torch.full((count,), sign)
    )


def in_pillow(picture, name, level, sign):
    """The operation as the authors' code does it."""
    image, size = PIL.Image.fromarray(picture), len(picture)
    bilinear, way = PIL.Image.Resampling.BILINEAR, PIL.Image.Transform.AFFINE
    match name:
        case "autocontrast":
            return PIL.ImageOps.autocontrast(image)
        case "equalize":
            return PIL.ImageOps.equalize(image)
        case "posterize":
            return PIL.ImageOps.posterize(image, 4 - int(level * 4 / 10))
        case "solarize":
            return PIL.ImageOps.solarize(image, 256 - int(level * 256 / 10))
        case "rotate":
            return image.rotate(sign * int(level * 30 / 10), resample=bilinear)
        case "shear_x":
            data = (1, sign * level * 0.03, 0, 0, 1, 0)
        case "shear_y":
            data = (1, 0, 0, sign * level * 0.03, 1, 0)
        case "translate_x":
            data = (1, 0, sign * int(level * (size / 3) / 10), 0, 1, 0)
        case "translate_y":
            data = (1, 0, 0, 0, 1, sign * int(level * (size / 3) / 10))
    return image.transform((size, size), way, data, resample=bilinear)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("level", [0.3, 2.6, 9.0])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_pillows(name, level, sign):
    """Exact, but for rounding: Pillow's of its own table, and of moved pictures, of which what lies
    a pixel inside is compared."""
    images = pictures()
    found = changed(images, one(name, level, sign)).permute(0, 2, 3, 1).numpy()
    moves = name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
    for own, picture in zip(found, images.permute(0, 2, 3, 1).numpy(), strict=True):
        expected = np.asarray(in_pillow(picture, name, level, sign)).astype(int)
        inside = np.ones(picture.shape, bool)
        if moves:  # at the rim Pillow takes the nearest pixel, and grid_sample fades to black
            shown = np.asarray(in_pillow(np.full_like(picture, 255), name, level, sign)) == 255
            inside = shown.copy()
            inside[[0, -1]] = inside[:, [0, -1]] = False
            for axis in (0, 1):
                for way in (-1, 1):
                    inside &= np.roll(shown, way, axis)
        assert np.abs(own.astype(int) - expected)[inside].max() <= (moves or name == "autocontrast")
        assert inside.mean() > 0.4


def test_what_is_no_movement_stays_where_it_is():
    changes = Changes(torch.arange(9), torch.full((9,), 0.1), torch.ones(9))
    theta = affine(changes, 24)
    assert (theta[:4] == torch.eye(2, 3)).all()


def test_draws_have_the_authors_distributions():
    found = draw(4000, stream(), **HOW)
    inside = found.b >= 0
    assert inside.double().mean().item() == pytest.approx(0.5, abs=0.02)
    for values, parameters in (
        (found.a[inside], (3, 1)), (found.b[inside], (1, 3)),
        (found.a[~inside] - 1, (1, 3)), (-found.b[~inside], (1, 3)),
    ):  # fmt: skip
        assert kstest(values.numpy(), beta_distribution(*parameters).cdf).pvalue > 1e-3
    assert np.corrcoef(found.a[inside], found.b[inside])[0, 1] == pytest.approx(0, abs=0.05)
    assert torch.bincount(found.mixed).tolist() == pytest.approx([800] * 5, abs=100)
    assert torch.bincount(found.first.operation).min() > 380
    level = found.again[0].level
    assert 0.1 <= level.min() < 0.11
    assert 2.99 < level.max() <= 3


def test_mixtures_are_those_of_float64():
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 40, 3, 4, 4)).astype(np.float32)
    x[0], y[1] = 0, 0
    draws = draw(40, stream(1), **HOW)
    a, b = (values[0].view(-1, 1, 1, 1) for values in (draws.a, draws.b))
    product = draws.multiplied[0].view(-1, 1, 1, 1)
    found = mix(torch.from_numpy(x), torch.from_numpy(y), a, b, product).numpy()
    x, y, a, b = (np.asarray(each, np.float64) for each in (x, y, a, b))
    added = (a * (2 * x - 1) + b * (2 * y - 1) + 1) / 2
    multiplied = (2 * x) ** a * np.maximum(2 * y, 1e-37) ** b / 2
    expected = np.clip(np.where(product.numpy(), multiplied, added), 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert product.any()
    assert not product.all()


def test_pictures_are_mixed_as_one_by_one_in_float64():
    """Each picture alone, step by step as the authors' code goes, in float64."""
    images, mixing = pictures(30), pictures(30, seed=9)
    draws = draw(30, stream(2), **HOW)
    found = mixed_by(images, mixing, draws).numpy()

    def of(row, changes):
        own = Changes(*(v[row : row + 1] for v in (changes.operation, changes.level, changes.sign)))
        return changed(images[row : row + 1], own)[0].double().numpy() / 255

    for row in range(30):
        plain = images[row].double().numpy() / 255
        x = of(row, draws.first) if draws.starts_changed[row] else plain
        for number in range(int(draws.mixed[row])):
            y = of(row, draws.again[number]) if draws.with_itself[number, row] else (
                mixing[row].double().numpy() / 255
            )  # fmt: skip
            a, b = draws.a[number, row].item(), draws.b[number, row].item()
            if draws.multiplied[number, row]:
                x = (2 * x) ** a * np.maximum(2 * y, 1e-37) ** b / 2
            else:
                x = (a * (2 * x - 1) + b * (2 * y - 1) + 1) / 2
            x = np.clip(x, 0, 1)
        np.testing.assert_allclose(found[row], 255 * x, atol=0.51)


def test_the_same_stream_gives_the_same_pictures():
    images, mixing = pictures(20), pictures(20, seed=9)
    one, other = (pixmix(images, mixing, stream(3), **HOW) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, pixmix(images, mixing, stream(4), **HOW))
    assert one.dtype == torch.uint8


def test_without_rounds_half_of_the_pictures_are_as_they_were():
    images = pictures(200)
    found = pixmix(images, images, stream(), rounds=0, beta=3.0, severity=3.0)
    same = (found == images).flatten(1).all(1).double().mean()
    assert 0.4 < same < 0.75
