"""Networks made faster in place: compiled whole, compiled block by block, or as CUDA graphs.

A graph replays the kernels of one input shape without the host, which is all that a small network
waits for. It is safe where shapes are fixed, no gradient is kept and nothing waits for the device:
drawing pictures. Not in training: recording a step would run batch norms several times more than a
plain run, batches differ by a row, and methods of one's own may do anything in their loss.
"""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map_only

BACKEND = "inductor"
LEAST_REPEATS = 4  # of a class: its code is then compiled once for each distinct shape
MOST_SHAPES = 64  # of one block's code; torch's own limit of 8 is ResNet-34's 7 and one more
MOST_GRAPHS = 4  # of one network; each holds its activations
WARM_UPS = 3  # before a graph is recorded: cuDNN picks its kernels then


def repeated_blocks(network: nn.Module) -> list[nn.Module]:
    """Return the outermost modules of classes that repeat; those that a model of diffusers names.

    torch's own layers are no blocks.
    """
    named = getattr(network, "_repeated_blocks", None)
    if named:
        return [item for item in network.modules() if type(item).__name__ in named]
    counts = Counter(type(item) for item in network.modules())

    def found(module: nn.Module) -> list[nn.Module]:
        own = type(module)
        if counts[own] >= LEAST_REPEATS and not own.__module__.startswith("torch.nn."):
            return [module]
        return [block for child in module.children() for block in found(child)]

    return found(network)


def layers(modules: Sequence[nn.Module]) -> int:
    """Return how many layers modules have: those that hold no others."""
    return sum(not list(item.children()) for module in modules for item in module.modules())


def distinct(blocks: Sequence[nn.Module]) -> list[nn.Module]:
    """Return one block of each class and shape."""
    return list({str(block): block for block in blocks}.values())


def parameters(networks: Sequence[nn.Module]) -> int:
    """Return how many numbers the networks hold."""
    return sum(weight.numel() for network in networks for weight in network.parameters())


def described(networks: Sequence[nn.Module]) -> str:
    """Return what compiling depends on: the layers, their shapes and numbers."""
    kinds = sorted({str(weight.dtype) for net in networks for weight in net.parameters()})
    return "\n".join([*map(str, networks), *kinds])


def _allow_shapes() -> None:
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, MOST_SHAPES)


def compile_blocks(network: nn.Module) -> None:
    """Compile the repeated blocks in place, each distinct one once."""
    _allow_shapes()
    if hasattr(network, "compile_repeated_blocks") and getattr(network, "_repeated_blocks", None):
        network.compile_repeated_blocks(backend=BACKEND)
        return
    for block in repeated_blocks(network):
        block.compile(backend=BACKEND)


def uncompile(network: nn.Module) -> None:
    """Undo compiling in place: other work of the same network need not be compiled again."""
    for module in network.modules():
        module._compiled_call_impl = None


def compile_function(function: Callable, *, dynamic: bool = False) -> Callable:
    """Return a function compiled whole, for the shapes that it meets (`dynamic`: for any)."""
    return torch.compile(function, dynamic=dynamic, backend=BACKEND)


def run_as(way: str, networks: Sequence[nn.Module]) -> None:
    """Turn networks that draw pictures, in place, to `whole`, `blocks` or `graphs`."""
    for network in networks:
        if way == "whole":
            network.compile(dynamic=False, backend=BACKEND)
        elif way == "blocks":
            compile_blocks(network)
        elif way == "graphs":
            network.forward = Graphed(network.forward)


def _record(function: Callable, args: Sequence, named: dict) -> tuple[Callable[[], object], Any]:
    """Return what replays function(*args, **named), and its outputs, which replaying rewrites."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UPS):
            function(*args, **named)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    # the thread that writes pictures waits for events meanwhile, which `global` forbids
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = function(*args, **named)
    return graph.replay, outputs


class Graphed:
    """A function of tensors that replays one CUDA graph for each shape of its inputs.

    Inputs may lie on the host (a sampler's time step does); results are copies. Shapes beyond
    MOST_GRAPHS, and a function that cannot be recorded (said once), run plainly.
    """

    def __init__(self, function: Callable, record: Callable = _record, device: str = "cuda"):
        self.function, self.record, self.device = function, record, device
        self.graphs: dict[str, tuple[list[Tensor], Callable[[], object], Any]] = {}
        self.refused = False

    def __call__(self, *args: Any, **named: Any) -> Any:
        leaves, shape = tree_flatten((args, named))
        given = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        key = str(
            [shape, *((leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else leaf
                      for leaf in leaves)]
        )  # fmt: skip
        if key not in self.graphs and (self.refused or len(self.graphs) == MOST_GRAPHS):
            return self.function(*args, **named)
        if key not in self.graphs:
            own_args, own_named = tree_map_only(
                Tensor, lambda leaf: leaf.detach().to(self.device, copy=True), (args, named)
            )
            own = [leaf for leaf in tree_flatten((own_args, own_named))[0]
                   if isinstance(leaf, Tensor)]  # fmt: skip
            try:
                self.graphs[key] = (own, *self.record(self.function, own_args, own_named))
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self.refused = True
                print(f"no CUDA graph ({error}): runs plainly", file=sys.stderr, flush=True)
                return self.function(*args, **named)
        held, replay, outputs = self.graphs[key]
        for own, leaf in zip(held, given, strict=True):
            own.copy_(leaf, non_blocking=True)
        replay()
        return tree_map_only(Tensor, Tensor.clone, outputs)
