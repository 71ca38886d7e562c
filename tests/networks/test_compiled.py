"""Networks compiled whole or in their blocks, and replayed as graphs.

No CUDA graph can be recorded on a CPU: a stand-in replays by calling the function again and
writing into the outputs of the first call, as a graph does.
"""

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from bood_tasks.networks import compiled
from bood_tasks.networks.compiled import (
    MOST_GRAPHS,
    Graphed,
    compile_blocks,
    distinct,
    layers,
    repeated_blocks,
    uncompile,
)
from bood_tasks.networks.flops import SD14_UNET
from bood_tasks.networks.resnet import BLOCKS, Block, ResNet
from bood_tasks.networks.wide_resnet import WideBlock, WideResNet


@pytest.fixture(autouse=True)
def backend(monkeypatch):
    """Count what torch hands to its compiler instead of compiling it."""
    torch._dynamo.reset()
    seen = []

    def count(graph, inputs):
        seen.append([item.shape for item in inputs])
        return graph.forward

    monkeypatch.setattr(compiled, "BACKEND", count)
    return seen


def resnet(depth=34):
    return ResNet(depth=depth, width=2, stem="cifar", outputs=3).eval()


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_a_resnet_s_blocks_are_its_residual_ones(depth):
    found = repeated_blocks(resnet(depth))
    assert {type(block) for block in found} == {Block}
    assert len(found) == sum(BLOCKS[depth])


def test_of_nested_repeats_the_one_that_repeats_often_enough_is_taken():
    wide = WideResNet(depth=16, width=1, dropout=0.0, outputs=3)  # 3 stages of 2 blocks
    assert [type(block) for block in repeated_blocks(wide)] == [WideBlock] * 6
    assert repeated_blocks(nn.Sequential(*[nn.Linear(2, 2)] * 9)) == []


def test_a_unet_s_blocks_are_those_that_diffusers_names():
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SD14_UNET)
    found = repeated_blocks(unet)
    assert {type(block).__name__ for block in found} == {"BasicTransformerBlock"}
    assert len(distinct(found)) < len(found) / 2
    assert layers(distinct(found)) < layers([unet]) / 3


class Residual(nn.Module):
    """A block that no type checker wraps, which the compiler would have to read as well."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.convolution, self.stride = nn.Conv2d(inputs, outputs, 3, stride, 1), stride

    def forward(self, x):
        return self.convolution(x).relu()


def chain():
    """Twelve shapes, more than torch by itself compiles of one function, each of them twice."""
    blocks = []
    for width in range(1, 7):
        blocks += [Residual(width, width, 1) for _ in range(2)]
        blocks += [Residual(width, width + 1, 1), Residual(width + 1, width + 1, 1)]
    return nn.Sequential(*blocks)


@torch.no_grad()
def test_each_distinct_block_is_compiled_once_and_gives_the_same(backend):
    net, x = chain(), torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    plain, names = net(x), list(net.state_dict())
    compile_blocks(net)
    assert torch.equal(net(x), plain)
    assert len(backend) == len(distinct(repeated_blocks(net))) == 13 > 8
    net(x)
    assert len(backend) == 13
    assert list(net.state_dict()) == names
    uncompile(net)
    net(torch.cat([x, x]))
    assert len(backend) == 13


@torch.no_grad()
def test_a_loss_that_is_kept_from_the_compiler_still_runs_compiled_blocks(backend):
    net = nn.Sequential(*[Residual(2, 2, 1) for _ in range(4)])
    compile_blocks(net)

    @torch.compiler.disable
    def loss(net, x):
        return net(x).sum()

    loss(net, torch.zeros(1, 2, 4, 4))
    assert len(backend) == 1


def as_a_graph(function, args, named):
    outputs = function(*args, **named)

    def replay():
        again = function(*args, **named)
        outputs["y"].copy_(again["y"])

    return replay, outputs


def double(x, t, *, condition=None):
    return {"y": 2 * x + t + (0 if condition is None else condition)}


def graphed():
    recorded = []

    def record(function, args, named):
        recorded.append(args[0].shape)
        return as_a_graph(function, args, named)

    return Graphed(double, record, device="cpu"), recorded


def test_a_graph_is_recorded_once_a_shape_and_reads_new_inputs():
    own, recorded = graphed()
    for step in range(3):
        for size in (2, 4):
            x, t = torch.full((size,), float(step)), torch.tensor(10 * step)
            assert torch.equal(own(x, t)["y"], double(x, t)["y"])
    assert recorded == [(2,), (4,)]


def test_a_result_outlives_the_next_replay():
    own, _ = graphed()
    first = own(torch.ones(2), torch.tensor(0))["y"]
    own(torch.zeros(2), torch.tensor(0))
    assert torch.equal(first, torch.full((2,), 2.0))


def test_the_caller_s_tensors_are_not_the_graph_s():
    own, _ = graphed()
    x = torch.ones(2)
    own(x, torch.tensor(0))
    own(torch.zeros(2), torch.tensor(0))
    assert torch.equal(x, torch.ones(2))


def test_more_shapes_than_graphs_run_plainly():
    own, recorded = graphed()
    for size in range(1, MOST_GRAPHS + 3):
        assert torch.equal(own(torch.ones(size), torch.tensor(0))["y"], 2 * torch.ones(size))
    assert len(recorded) == MOST_GRAPHS


def test_other_arguments_are_other_graphs():
    own, recorded = graphed()
    own(torch.ones(2), torch.tensor(0))
    made = own(torch.ones(2), torch.tensor(0), condition=torch.ones(2))
    assert torch.equal(made["y"], torch.full((2,), 3.0))
    assert len(recorded) == 2


def test_what_cannot_be_recorded_runs_plainly_and_says_so_once(capsys):
    def refuse(function, args, named):
        raise RuntimeError("operation not permitted when stream is capturing")

    own = Graphed(double, refuse, device="cpu")
    for _ in range(2):
        assert torch.equal(own(torch.ones(2), torch.tensor(1))["y"], torch.full((2,), 3.0))
    assert capsys.readouterr().err.count("no CUDA graph (operation not permitted") == 1


def test_memory_that_runs_out_while_recording_is_no_refusal():
    def full(function, args, named):
        raise torch.OutOfMemoryError("injected")

    with pytest.raises(torch.OutOfMemoryError):
        Graphed(double, full, device="cpu")(torch.ones(2), torch.tensor(1))
