import colorsys

import numpy as np
import PIL.Image
import pytest
import torch
from torchvision.transforms import RandomResizedCrop, functional

from bood_tasks.datasets.pictures import fit_both
from bood_tasks.training import augmentation
from bood_tasks.training.augmentation import (
    AREA,
    CONTRASTIVE_AREA,
    RATIO,
    boxes_within,
    centre_crop,
    colour_jitter,
    cut_out,
    jittered,
    mirror,
    resized_crop,
    shift,
    turned,
)


def ramp(count=300, size=16):
    """Red rises to the right, green downwards, blue is constant."""
    image = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    image[:, 0] = 10 * torch.arange(size, dtype=torch.uint8)
    image[:, 1] = 10 * torch.arange(size, dtype=torch.uint8)[:, None]
    image[:, 2] = 77
    return image.expand(count, -1, -1, -1)


def test_centre_crop_takes_the_middle():
    out = centre_crop(ramp(1), 8)
    assert out[0, 0, 0].tolist() == [10 * k for k in range(4, 12)]
    assert out[0, 1, :, 0].tolist() == [10 * k for k in range(4, 12)]
    assert centre_crop(ramp(1), None).shape == (1, 3, 16, 16)


def test_shift_to_a_smaller_crop_reaches_every_place_and_no_other():
    out = shift(ramp(), 14, 0, torch.Generator().manual_seed(0))
    assert out.shape == (300, 3, 14, 14)
    assert set(out[:, 0, 0, 0].tolist()) == set(out[:, 1, 0, 0].tolist()) == {0, 10, 20}


def test_resized_crop_shows_a_part_at_random_scale_and_place():
    out = resized_crop(ramp(2000), 12, torch.Generator().manual_seed(0)).float()
    assert (out[:, 2] == 77).all()
    assert out[:, :2].max() <= 150
    # on a ramp of 10 a pixel, neighbours in the result differ by 10 * 16 * share / 12
    width, height = (
        (out[:, k].diff(dim=2 - k)[:, 4:7, 4:7].mean((1, 2)) * 12 / 160) for k in (0, 1)
    )
    assert 0.2 < width.min() < 0.35
    assert 0.9 < width.max() < 1.05
    assert (width * height).mean().item() == pytest.approx(0.53, abs=0.04)  # area: .08..1
    assert (width / height).min() > 0.6
    middle = out[:, 0].mean((1, 2))
    assert middle.std() > 10
    assert middle.mean().item() == pytest.approx(75, abs=2)


def test_resized_crop_of_the_whole_picture_is_the_picture(monkeypatch):
    monkeypatch.setattr(augmentation, "RATIO", (1.0, 1.0))
    images = torch.randint(0, 256, (3, 3, 9, 9), dtype=torch.uint8)
    rng = torch.Generator().manual_seed(0)
    assert torch.equal(resized_crop(images, 9, rng, area=(1.0, 1.0)), images)


def smooth(height, width):
    """A picture whose colours change slowly, by sines of both directions."""
    y, x = np.mgrid[:height, :width] / max(height, width) * 2 * np.pi
    waves = np.stack([np.sin(x + y), np.cos(2 * x - y), np.sin(3 * y + x)], -1)
    return PIL.Image.fromarray((127.5 + 120 * waves).round().astype(np.uint8))


@pytest.mark.parametrize(("height", "width"), [(150, 300), (240, 180), (128, 128)])
def test_a_part_of_the_squashed_picture_is_that_part_of_the_picture_as_it_was(height, width):
    picture = smooth(height, width)
    stored = fit_both(picture, size=128, fit="resize")
    aspects = torch.tensor([stored["aspect"]]).expand(40)
    boxes = boxes_within(aspects, torch.Generator().manual_seed(0), area=AREA)
    pixels = torch.tensor(stored["whole"]).permute(2, 0, 1).expand(40, -1, -1, -1)
    found = cut_out(pixels, boxes, 96).permute(0, 2, 3, 1).numpy()
    for part, (w, h), (x, y) in zip(found, *boxes.permute(0, 2, 1).tolist(), strict=True):
        edges = (x - w + 1) / 2, (y - h + 1) / 2, (x + w + 1) / 2, (y + h + 1) / 2
        box = np.array(edges) * [width, height, width, height]
        expected = picture.resize((96, 96), PIL.Image.Resampling.BILINEAR, box=tuple(box))
        difference = np.abs(part.astype(int) - np.asarray(expected))  # 9 a pixel at most
        assert difference.max() <= 8
        assert difference.mean() < 1.5


@pytest.mark.parametrize(
    ("height", "width"), [(3000, 4000), (4000, 2000), (3000, 3000), (900, 6000)]
)
def test_parts_of_whole_pictures_are_drawn_as_torchvision_draws_them(height, width):
    aspects = torch.full((3000,), width / height)
    sizes, centres = boxes_within(aspects, torch.Generator().manual_seed(0), area=AREA)
    torch.manual_seed(0)
    picture = torch.empty(1).expand(3, height, width)
    drawn = [RandomResizedCrop.get_params(picture, list(AREA), list(RATIO)) for _ in range(3000)]
    top, left, tall, wide = torch.tensor(drawn).T
    for ours, theirs in (
        (sizes[0], wide / width),
        (sizes[1], tall / height),
        (sizes.prod(0), wide * tall / width / height),
        ((centres[0] - sizes[0] + 1) / 2, left / width),
        ((centres[1] - sizes[1] + 1) / 2, top / height),
    ):
        places = torch.linspace(0.05, 0.95, 19)
        difference = ours.quantile(places) - theirs.quantile(places)
        assert difference.abs().max() < 0.035
    assert ((centres.abs() + sizes) <= 1 + 1e-6).all()
    seen = sizes[0] * width / (sizes[1] * height)
    assert seen.min() > RATIO[0] - 1e-4
    assert seen.max() < RATIO[1] + 1e-4


def test_parts_of_a_wide_picture_show_its_ends():
    """The central square of a picture twice as wide as high ends half the way out, at .5."""
    sizes, centres = boxes_within(torch.full((1000,), 2.0), torch.Generator(), area=AREA)
    assert (centres[0] + sizes[0] > 0.9).float().mean() > 0.05
    assert (centres[0] - sizes[0] < -0.9).float().mean() > 0.05


def test_contrastive_crops_show_a_fifth_of_the_picture_at_least():
    many = resized_crop(ramp(2000), 16, torch.Generator().manual_seed(0), area=CONTRASTIVE_AREA)
    width, height = (
        (many[:, k].float().diff(dim=2 - k)[:, 6:10, 6:10].mean((1, 2)) / 10) for k in (0, 1)
    )
    assert (width * height).min() > 0.17
    assert (width * height).mean().item() == pytest.approx(0.59, abs=0.04)


def colours(count=4, seed=0):
    return torch.rand(count, 3, 5, 6, generator=torch.Generator().manual_seed(seed))


def test_hue_is_turned_as_colorsys_does():
    given, by = colours(), torch.tensor([-0.1, 0.0, 0.07, 0.45])[:, None, None, None]
    given[0, :, 0, 0] = 0.5  # grey has no hue
    found = turned(given, by).permute(0, 2, 3, 1)
    for place in np.ndindex(4, 5, 6):
        hue, saturation, value = colorsys.rgb_to_hsv(*given.permute(0, 2, 3, 1)[place].tolist())
        expected = colorsys.hsv_to_rgb((hue + by[place[0]].item()) % 1, saturation, value)
        assert found[place].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]])
def test_colours_change_as_torchvision_changes_them(order):
    given, turn = colours(), torch.tensor([-0.1, 0.0, 0.03, 0.1])
    factors = 0.6 + 0.8 * torch.rand(3, 4, generator=torch.Generator().manual_seed(1))
    found = jittered(given, factors[..., None, None, None], turn[:, None, None, None], order)
    changes = [
        functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation,
        functional.adjust_hue,
    ]  # fmt: skip
    for row, picture in enumerate(given):
        for which in order:
            by = turn[row] if which == 3 else factors[which, row]
            picture = changes[which](picture, by.item())
        torch.testing.assert_close(found[row], picture, atol=1e-3, rtol=0)


def test_a_fifth_of_the_pictures_keeps_its_colours_and_a_fifth_is_grey():
    given = (255 * colours(1)).to(torch.uint8).expand(2000, -1, -1, -1)
    found = colour_jitter(given, torch.Generator().manual_seed(0))
    grey = (found[:, 0] == found[:, 1]).flatten(1).all(1)
    same = (found == given).flatten(1).all(1)
    assert grey.float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert same.float().mean().item() == pytest.approx(0.2 * 0.8, abs=0.03)
    assert found.dtype == torch.uint8
    again = colour_jitter(given, torch.Generator().manual_seed(0))
    assert torch.equal(found, again)


@pytest.mark.parametrize(("crop", "padding"), [(None, 2), (14, 0), (16, 0), (12, 1)])
def test_shift_and_mirror_in_one_pass_are_the_two_in_turn(crop, padding):
    images = torch.randint(
        0, 256, (40, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    rng = torch.Generator().manual_seed(0)
    want = mirror(shift(images, crop, padding, rng), rng)
    again = torch.Generator().manual_seed(0)
    assert torch.equal(shift(images, crop, padding, again, flip=True), want)
    assert torch.equal(rng.get_state(), again.get_state())
