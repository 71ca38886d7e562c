import pytest
import torch

from bood_tasks.networks import ResNet, initialised, to_input


def parameters(**shape):
    return sum(p.numel() for p in ResNet(**shape).parameters())


@pytest.mark.parametrize(("depth", "count"), [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032)])
def test_resnet_has_the_published_parameter_count(depth, count):
    # torchvision's documented counts for the ImageNet stem with 1,000 classes
    assert parameters(depth=depth, width=64, stem="imagenet", outputs=1000) == count


@pytest.mark.parametrize(("stem", "side"), [("cifar", 4), ("strided", 2), ("imagenet", 1)])
def test_stem_sets_the_resolution_of_the_last_stage(stem, side):
    model = ResNet(depth=18, width=4, stem=stem, outputs=3)
    assert model.body(torch.zeros(2, 3, 32, 32)).shape == (2, 32, side, side)


def test_forward_is_the_head_of_the_penultimate():
    model = ResNet(depth=18, width=4, stem="strided", outputs=3).eval()
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(x), model.head(model.penultimate(x)))


def test_initialised_depends_on_its_seed_alone():
    def build():
        return torch.nn.Linear(4, 4)

    before = torch.random.get_rng_state()
    first, again, other = (initialised(build, seed).weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_to_input_spans_two_deviations():
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert to_input(pixels).flatten().tolist() == [-2.0] * 3 + [2.0] * 3
