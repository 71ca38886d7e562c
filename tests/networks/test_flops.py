import pytest
import torch
from torch import nn

from bood_tasks.generators.text_to_image.flops import SD14_UNET, SD14_VAE, evaluations, image_flops
from bood_tasks.networks.flops import classifier_flops, count


def test_a_matrix_product_counts_two_a_term():
    with torch.device("meta"):
        layer = nn.Linear(30, 20, bias=False)
        assert count(lambda: layer(torch.empty(7, 30))) == 2 * 7 * 30 * 20


@pytest.mark.parametrize(
    ("runs", "guided", "expected"),
    [(0, False, 2.51e12), (1, False, 2.51e12 + 0.803e12), (51, True, 84.4e12)],
)
def test_stable_diffusion_costs_what_is_known_of_it(runs, guided, expected):
    found = image_flops(SD14_UNET, SD14_VAE, resolution=512, evaluations=runs, guided=guided)
    assert found == pytest.approx(expected, rel=2e-3)


def test_pndm_makes_one_evaluation_more():
    assert [evaluations(name, 50) for name in ("pndm", "ddim")] == [51, 50]


def test_resnet18_at_224_pixels_is_as_published():
    found = classifier_flops(depth=18, width=64, stem="imagenet", outputs=1000, size=224)
    assert found == pytest.approx(2 * 1.81e9, rel=0.01)  # 1.81 G multiply-adds
