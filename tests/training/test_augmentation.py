import pytest
import torch

from bood_tasks.training import augmentation
from bood_tasks.training.augmentation import centre_crop, resized_crop, shift


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
    monkeypatch.setattr(augmentation, "AREA", (1.0, 1.0))
    monkeypatch.setattr(augmentation, "RATIO", (1.0, 1.0))
    images = torch.randint(0, 256, (3, 3, 9, 9), dtype=torch.uint8)
    assert torch.equal(resized_crop(images, 9, torch.Generator().manual_seed(0)), images)
