"""Wide ResNets (Zagoruyko & Komodakis 2016), as Outlier Exposure's authors train WRN-40-2.

Parameters are named as in pytorch-ood and in the authors' code, so published weights load.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from bood_tasks.networks.pixels import renormalised

# Of CIFAR-10's training pictures, as in the authors' code, for every data set.
MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)
STD = (63.0 / 255, 62.1 / 255, 66.7 / 255)


class WideBlock(nn.Module):
    """Batch norm, ReLU and a 3x3 convolution, twice, with dropout between."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.dropout, self.stride = dropout, stride
        if inputs != outputs:
            self.convShortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        first = F.relu(self.bn1(x))
        out = F.relu(self.bn2(self.conv1(first)))
        out = self.conv2(F.dropout(out, self.dropout, self.training))
        if not hasattr(self, "convShortcut"):
            return x + out
        # a 1x1 convolution with a stride, written out: see networks.Block
        return self.convShortcut(first[:, :, :: self.stride, :: self.stride]) + out


class WideStage(nn.Module):
    """Blocks of one width; the first changes resolution and width."""

    def __init__(self, count: int, inputs: int, outputs: int, stride: int, dropout: float):
        super().__init__()
        first = WideBlock(inputs, outputs, stride, dropout)
        rest = (WideBlock(outputs, outputs, 1, dropout) for _ in range(count - 1))
        self.layer = nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class WideResNet(nn.Module):
    """WRN-`depth`-`width`, depth = 6 n + 4, for pictures of any size (the papers': 32 pixels)."""

    def __init__(self, *, depth: int, width: int, dropout: float, outputs: int):
        super().__init__()
        count = (depth - 4) // 6
        channels = [16, 16 * width, 32 * width, 64 * width]
        self.conv1 = nn.Conv2d(3, channels[0], 3, 1, 1, bias=False)
        self.block1 = WideStage(count, channels[0], channels[1], 1, dropout)
        self.block2 = WideStage(count, channels[1], channels[2], 2, dropout)
        self.block3 = WideStage(count, channels[2], channels[3], 2, dropout)
        self.bn1 = nn.BatchNorm2d(channels[3])
        self.fc = nn.Linear(channels[3], outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    @property
    def head(self) -> nn.Linear:
        return self.fc

    def stages(self, x: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _"]]:
        """Return pooled features after each stage; the last are the penultimate ones."""
        x = self.conv1(renormalised(x, MEAN, STD))
        first = self.block1(x)
        second = self.block2(first)
        third = F.relu(self.bn1(self.block3(second)))
        return [torch.mean(each, (2, 3)) for each in (first, second, third)]

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b o"]:
        return self.fc(self.stages(x)[-1])
