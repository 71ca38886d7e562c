"""A class-conditional BigGAN (Brock et al. 2019) at 32 pixels and powers of two beyond.

The generator's parameters are named and shaped as in the authors' PyTorch code, without the buffers
of spectral norm: its weights here are those that take effect. Pictures lie in [-1, 1].
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

BOTTOM = 4  # pixels a side that the generator starts from
# Channels of the generator's blocks, in units of `channels`: as many as there are resolutions.
WIDTHS = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
}
EPS = 1e-5
MOMENTUM = 0.1  # of the stored statistics in training
INIT_STD = 0.02


@dataclass(frozen=True)
class Shape:
    """What a generator is built from. `shared`: dimensions of the class embedding that all norms
    read, 0 for one embedding each; `hierarchical`: a part of z goes to every block's norms."""

    resolution: int
    channels: int
    latent: int
    classes: int
    shared: int = 0
    hierarchical: bool = False
    attention: int = 0

    def __post_init__(self):
        if self.resolution not in WIDTHS:
            raise ValueError(
                f"a BigGAN's pictures must have {', '.join(map(str, WIDTHS))} pixels a side, got "
                f"{self.resolution}; change image.size"
            )
        if self.hierarchical and self.latent % (self.blocks + 1):
            raise ValueError(
                f"latent must be a multiple of {self.blocks + 1} at {self.resolution} pixels, got "
                f"{self.latent}"
            )
        if self.attention and self.attention not in self.sizes:
            raise ValueError(
                f"attention must be 0 or one of {', '.join(map(str, self.sizes))}, got "
                f"{self.attention}"
            )

    @property
    def blocks(self) -> int:
        return len(WIDTHS[self.resolution]) - 1

    @property
    def sizes(self) -> list[int]:
        """Pixels a side after each of the generator's blocks."""
        return [BOTTOM * 2 ** (number + 1) for number in range(self.blocks)]

    @property
    def chunk(self) -> int:
        """Dimensions of z that each reader of it gets."""
        return self.latent // (self.blocks + 1) if self.hierarchical else self.latent


class ConditionalNorm(nn.Module):
    """Batch norm whose gain and bias are the class's: (1 + gain(y)) (x - mean) / std + bias(y)."""

    def __init__(self, channels: int, condition: int, *, embedded: bool):
        super().__init__()
        make = nn.Linear if embedded else nn.Embedding
        more = {"bias": False} if embedded else {}
        self.gain, self.bias = (make(condition, channels, **more) for _ in range(2))
        self.momentum = MOMENTUM
        self.register_buffer("stored_mean", torch.zeros(channels))
        self.register_buffer("stored_var", torch.ones(channels))

    def forward(self, x: Float[Tensor, "b c h w"], y: Tensor) -> Float[Tensor, "b c h w"]:
        x = F.batch_norm(
            x, self.stored_mean, self.stored_var, None, None, self.training, self.momentum, EPS
        )
        gain, bias = (net(y)[:, :, None, None] for net in (self.gain, self.bias))
        return x * (1 + gain) + bias


class Norm(nn.Module):
    """Plain batch norm, with the names of the authors' code."""

    def __init__(self, channels: int):
        super().__init__()
        self.momentum = MOMENTUM
        self.gain = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("stored_mean", torch.zeros(channels))
        self.register_buffer("stored_var", torch.ones(channels))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return F.batch_norm(
            x, self.stored_mean, self.stored_var, self.gain, self.bias, self.training,
            self.momentum, EPS,
        )  # fmt: skip


class Attention(nn.Module):
    """Self-attention over pixels (Zhang et al. 2019); starts as the identity, gamma = 0."""

    def __init__(self, channels: int):
        super().__init__()
        small, half = max(1, channels // 8), max(1, channels // 2)
        self.theta = nn.Conv2d(channels, small, 1, bias=False)
        self.phi = nn.Conv2d(channels, small, 1, bias=False)
        self.g = nn.Conv2d(channels, half, 1, bias=False)
        self.o = nn.Conv2d(half, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        queries = self.theta(x).flatten(2).transpose(1, 2)
        keys = F.max_pool2d(self.phi(x), 2).flatten(2)
        values = F.max_pool2d(self.g(x), 2).flatten(2)
        weights = (queries @ keys).softmax(-1)
        mixed = (values @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return self.gamma * self.o(mixed) + x


class UpBlock(nn.Module):
    """Norm, ReLU, twice the size, convolution, norm, ReLU, convolution; beside a 1x1 shortcut."""

    def __init__(self, inputs: int, outputs: int, condition: int, *, embedded: bool):
        super().__init__()
        self.bn1 = ConditionalNorm(inputs, condition, embedded=embedded)
        self.bn2 = ConditionalNorm(outputs, condition, embedded=embedded)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_sc = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Float[Tensor, "b c h w"], y: Tensor) -> Float[Tensor, "b d h2 w2"]:
        out = F.interpolate(F.relu(self.bn1(x, y)), scale_factor=2)
        out = self.conv2(F.relu(self.bn2(self.conv1(out), y)))
        # A 1x1 convolution before doubling the size gives the same, with a quarter of the work.
        return out + F.interpolate(self.conv_sc(x), scale_factor=2)


class Generator(nn.Module):
    """z and class to a picture."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        widths = [shape.channels * width for width in WIDTHS[shape.resolution]]
        embedded = shape.shared > 0
        condition = shape.shared or shape.classes
        if embedded:
            self.shared = nn.Embedding(shape.classes, shape.shared)
        if shape.hierarchical:
            condition += shape.chunk
        self.linear = nn.Linear(shape.chunk, widths[0] * BOTTOM**2)
        self.blocks = nn.ModuleList()
        for number, size in enumerate(shape.sizes):
            block = [UpBlock(widths[number], widths[number + 1], condition, embedded=embedded)]
            if size == shape.attention:
                block.append(Attention(widths[number + 1]))
            self.blocks.append(nn.ModuleList(block))
        self.output_layer = nn.Sequential(
            Norm(widths[-1]), nn.ReLU(), nn.Conv2d(widths[-1], 3, 3, padding=1)
        )
        _start(self)

    def forward(self, z: Float[Tensor, "b d"], y: Int64[Tensor, " b"]) -> Float[Tensor, "b 3 s s"]:
        first, *parts = z.split(self.shape.chunk, 1)
        shared = self.shared(y) if self.shape.shared else y
        x = self.linear(first).view(len(z), -1, BOTTOM, BOTTOM)
        for number, (block, *attention) in enumerate(self.blocks):
            condition = torch.cat([shared, parts[number]], 1) if parts else shared
            x = block(x, condition)
            for layer in attention:
                x = layer(x)
        return torch.tanh(self.output_layer(x))


class DownBlock(nn.Module):
    """ReLU, convolution, ReLU, convolution, half the size; beside a 1x1 shortcut."""

    def __init__(self, inputs: int, outputs: int, *, first: bool, down: bool):
        super().__init__()
        self.first, self.down = first, down
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_sc = nn.Conv2d(inputs, outputs, 1) if inputs != outputs or down else None

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        out = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if self.down:
            out, x = F.avg_pool2d(out, 2), F.avg_pool2d(x, 2)  # pooling and 1x1 maps commute
        return out + (x if self.conv_sc is None else self.conv_sc(x))


class Discriminator(nn.Module):
    """The projection discriminator (Miyato & Koyama 2018): psi(phi(x)) + <embed(y), phi(x)>."""

    def __init__(self, shape: Shape):
        super().__init__()
        widths = [shape.channels * width for width in WIDTHS[shape.resolution][::-1]]
        widths = [3, *widths[:-1], widths[-2]]
        blocks = []
        size = shape.resolution
        for number, (inputs, outputs) in enumerate(pairwise(widths)):
            down = size > 2 * BOTTOM
            blocks.append(DownBlock(inputs, outputs, first=number == 0, down=down))
            size //= 2 if down else 1
            if down and size == shape.attention:
                blocks.append(Attention(outputs))
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(widths[-1], 1)
        self.embed = nn.Embedding(shape.classes, widths[-1])
        _start(self)

    def forward(self, x: Float[Tensor, "b 3 s s"], y: Int64[Tensor, " b"]) -> Float[Tensor, " b"]:
        features = F.relu(self.blocks(x)).sum((2, 3))
        return self.linear(features)[:, 0] + (self.embed(y) * features).sum(1)


def _start(network: nn.Module) -> None:
    """Normal weights: at 32 pixels the authors' orthogonal start does no better."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=INIT_STD)


def normalised(network: nn.Module) -> nn.Module:
    """Return the network with its matrices divided by their largest singular value.

    As the authors': class embeddings of norms that share none are left alone.
    """
    for name, module in list(network.named_modules()):
        projection = name == "embed"
        if isinstance(module, nn.Conv2d | nn.Linear) or projection:
            spectral_norm(module)
    return network


def discriminator_loss(real: Float[Tensor, " b"], drawn: Float[Tensor, " o"]) -> Float[Tensor, ""]:
    """Return the hinge loss: mean max(0, 1 - D(x)) + mean max(0, 1 + D(G(z)))."""
    return F.relu(1 - real).mean() + F.relu(1 + drawn).mean()


def generator_loss(drawn: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """Return - mean D(G(z))."""
    return -drawn.mean()


def orthogonality(weights: Iterable[Tensor]) -> Float[Tensor, ""]:
    """Return half the sum of squares of all products of different rows, over all matrices: zero
    where every matrix has orthogonal rows (Brock et al. 2019, section 3.1)."""
    total = torch.zeros(())
    for weight in weights:
        rows = weight.flatten(1)
        products = rows @ rows.T
        total = total.to(products) + (products - products.diag().diag()).square().sum() / 2
    return total


def regularised(generator: nn.Module) -> list[Tensor]:
    """Return the generator's matrices without the class embedding that its norms share."""
    return [
        weight
        for name, weight in generator.named_parameters()
        if weight.ndim > 1 and not name.startswith("shared.")
    ]


def in_effect(generator: nn.Module) -> dict[str, Tensor]:
    """Return a state dict with plain weights of a generator that `normalised` returned.

    In evaluation mode: in training mode every look at a weight moves its singular vectors.
    """
    state = {}
    for name, module in generator.named_modules():
        tensors = dict(module.named_parameters(recurse=False))
        tensors |= dict(module.named_buffers(recurse=False))
        if ".parametrizations" in f".{name}" or isinstance(module, nn.ModuleDict):
            continue
        if hasattr(module, "parametrizations"):
            tensors |= {key: getattr(module, key) for key in module.parametrizations}
        prefix = f"{name}." if name else ""
        state |= {f"{prefix}{key}": value.detach() for key, value in tensors.items()}
    return state


@torch.no_grad()
def stand(generator: Generator, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Replace a generator's stored statistics by its own on (z, y), each batch weighing the same.

    While they are gathered every layer sees what comes of the batch's own statistics: sampling in
    training mode, as the authors' script does, but no picture depends on its batch.
    """
    norms = [item for item in generator.modules() if isinstance(item, Norm | ConditionalNorm)]
    generator.train()
    for number, (z, y) in enumerate(batches):
        for norm in norms:
            norm.momentum = 1 / (number + 1)  # the mean so far
        generator(z, y)
    for norm in norms:
        norm.momentum = MOMENTUM
    generator.eval()
