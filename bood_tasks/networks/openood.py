"""OpenOOD's ResNet18_32x32 and ResNet18_224x224: ResNet-18 with weights under their names there.

The names are torchvision's, with `shortcut` for `downsample` at 32 pixels; the older code that the
small one descends from calls its last layer `linear`.
"""

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

STAGES = (64, 128, 256, 512)
SIDES = {"resnet18_32x32": 32, "resnet18_224x224": 224}
# As its preprocessing scales CIFAR's pictures; for other data it has other numbers.
MEANS: dict[str, Sequence[float]] = {
    "resnet18_32x32": (0.4914, 0.4822, 0.4465), "resnet18_224x224": (0.485, 0.456, 0.406)
}  # fmt: skip
STDS: dict[str, Sequence[float]] = {
    "resnet18_32x32": (0.2470, 0.2435, 0.2616), "resnet18_224x224": (0.229, 0.224, 0.225)
}  # fmt: skip


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class SmallResNet18(nn.Module):
    """ResNet-18 whose first convolution is 3x3 with stride 1, without pooling."""

    def __init__(self, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, STAGES[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STAGES[0])
        inputs = STAGES[0]
        for number, channels in enumerate(STAGES, 1):
            first = _Block(inputs, channels, 1 if number == 1 else 2)
            self.add_module(f"layer{number}", nn.Sequential(first, _Block(channels, channels, 1)))
            inputs = channels
        self.fc = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return self.fc(x.mean((2, 3)))


def as_openood(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights whose last layer is called `linear` under OpenOOD's name."""
    return {
        f"fc.{name.removeprefix('linear.')}" if name.startswith("linear.") else name: value
        for name, value in state.items()
    }
