"""BigGAN-deep (Brock et al. 2019, appendix B), for the released ImageNet generators. Not trained.

Names and shapes are those of pytorch-pretrained-biggan, without the buffers of spectral norm and
with the batch statistics of truncation 1 alone: z comes untruncated here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

START = 16  # channels of the first picture, in units of `channels`
REDUCTION = 4  # of a block's inner channels


@dataclass(frozen=True)
class DeepShape:
    """What a generator is built from. `layers`: (doubles the size, channels in, out) of each."""

    resolution: int
    channels: int
    latent: int
    classes: int
    layers: Sequence[Sequence[int]]
    attention: int
    eps: float


class Norm(nn.Module):
    """Batch norm by stored statistics; of a condition, gain 1 + scale(c) and bias offset(c)."""

    def __init__(self, channels: int, condition: int, eps: float):
        super().__init__()
        self.eps = eps
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        if condition:
            self.scale = nn.Linear(condition, channels, bias=False)
            self.offset = nn.Linear(condition, channels, bias=False)
        else:
            self.weight = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))

    def forward(
        self, x: Float[Tensor, "b c h w"], condition: Float[Tensor, "b d"] | None = None
    ) -> Float[Tensor, "b c h w"]:
        mean, var = self.running_mean, self.running_var
        if condition is None:
            return F.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)
        gain, bias = (net(condition)[:, :, None, None] for net in (self.scale, self.offset))
        return F.batch_norm(x, mean, var, eps=self.eps) * (1 + gain) + bias


class DeepBlock(nn.Module):
    """1x1, 3x3, 3x3, 1x1 convolutions at a quarter of the width; the shortcut drops channels."""

    def __init__(self, inputs: int, outputs: int, condition: int, up: bool, eps: float):
        super().__init__()
        self.up, self.kept = up, outputs
        inner = inputs // REDUCTION
        shape = [(inputs, inner, 1), (inner, inner, 3), (inner, inner, 3), (inner, outputs, 1)]
        for number, (i, o, kernel) in enumerate(shape):
            self.add_module(f"bn_{number}", Norm(i, condition, eps))
            self.add_module(f"conv_{number}", nn.Conv2d(i, o, kernel, padding=kernel // 2))

    def forward(self, x: Float[Tensor, "b c h w"], condition: Tensor) -> Float[Tensor, "b d h2 w2"]:
        out = self.conv_0(F.relu(self.bn_0(x, condition)))
        out = F.relu(self.bn_1(out, condition))
        if self.up:
            out = F.interpolate(out, scale_factor=2)
        out = self.conv_1(out)
        out = self.conv_2(F.relu(self.bn_2(out, condition)))
        out = self.conv_3(F.relu(self.bn_3(out, condition)))
        x = x[:, : self.kept]
        return out + (F.interpolate(x, scale_factor=2) if self.up else x)


class DeepAttention(nn.Module):
    """As biggan.Attention, under the names of these weights."""

    def __init__(self, channels: int):
        super().__init__()
        self.snconv1x1_theta = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.snconv1x1_phi = nn.Conv2d(channels, channels // 8, 1, bias=False)
        self.snconv1x1_g = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.snconv1x1_o_conv = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "b c h w"], condition: Tensor) -> Float[Tensor, "b c h w"]:
        queries = self.snconv1x1_theta(x).flatten(2).transpose(1, 2)
        keys = F.max_pool2d(self.snconv1x1_phi(x), 2).flatten(2)
        values = F.max_pool2d(self.snconv1x1_g(x), 2).flatten(2)
        mixed = values @ (queries @ keys).softmax(-1).transpose(1, 2)
        return x + self.gamma * self.snconv1x1_o_conv(mixed.unflatten(2, x.shape[2:]))


class DeepGenerator(nn.Module):
    """z and class to a picture in [-1, 1]."""

    def __init__(self, shape: DeepShape):
        super().__init__()
        self.shape = shape
        condition, layers = 2 * shape.latent, nn.ModuleList()
        for number, (up, inputs, outputs) in enumerate(shape.layers):
            width = shape.channels * inputs
            if number == shape.attention:
                layers.append(DeepAttention(width))
            layers.append(DeepBlock(width, shape.channels * outputs, condition, up, shape.eps))
        self.embeddings = nn.Linear(shape.classes, shape.latent, bias=False)
        self.generator = nn.ModuleDict(
            {
                "gen_z": nn.Linear(condition, 4 * 4 * START * shape.channels),
                "layers": layers,
                "bn": Norm(shape.channels, 0, shape.eps),
                "conv_to_rgb": nn.Conv2d(shape.channels, shape.channels, 3, padding=1),
            }
        )

    def forward(self, z: Float[Tensor, "b d"], y: Int64[Tensor, " b"]) -> Float[Tensor, "b 3 s s"]:
        net = self.generator
        condition = torch.cat([z, F.embedding(y, self.embeddings.weight.T)], 1)
        x = net["gen_z"](condition).view(len(z), 4, 4, -1).permute(0, 3, 1, 2).contiguous()
        for layer in net["layers"]:
            x = layer(x, condition)
        return torch.tanh(net["conv_to_rgb"](F.relu(net["bn"](x)))[:, :3])
