import pytest
import torch

from bood_tasks.networks.pixels import to_input
from bood_tasks.networks.resnet import ResNet
from bood_tasks.networks.weights import initialised


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


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("width", [1, 3, 4, 8])
def test_narrow_networks_train(depth, width):
    """With strided 1x1 convolutions this ended the process on CPUs without AVX-512."""
    model = initialised(lambda: ResNet(depth=depth, width=width, stem="strided", outputs=2), seed=0)
    x = to_input(torch.zeros(16, 3, 32, 32, dtype=torch.uint8))
    for _ in range(5):
        model(x).sum().backward()


def test_shortcut_is_a_strided_convolution():
    """The slice and the 1x1 convolution are the published shortcut."""
    block = ResNet(depth=18, width=8, stem="cifar", outputs=2).body[5].double().eval()
    x = torch.randn(2, 8, 6, 6, dtype=torch.float64)
    convolution, norm = block.shortcut
    shortcut = norm(torch.nn.functional.conv2d(x, convolution.weight, stride=block.stride))
    main = torch.relu(block.norms[0](block.convolutions[0](x)))
    main = block.norms[1](block.convolutions[1](main))
    assert block.stride == 2
    torch.testing.assert_close(block(x), torch.relu(main + shortcut))
