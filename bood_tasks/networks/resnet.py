"""The classifiers, and the papers' own: ResNets (He et al. 2016) for 32 and 224 pixels, at any
width."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
STEMS = {"cifar": (3, 1, False), "strided": (3, 2, False), "imagenet": (7, 2, True)}


class Block(nn.Module):
    """Two 3x3 convolutions (depths 18, 34), or 1x1, 3x3, 1x1 with four times the channels (50)."""

    def __init__(self, inputs: int, channels: int, stride: int, bottleneck: bool):
        super().__init__()
        outputs = 4 * channels if bottleneck else channels
        shape = [(inputs, channels, 3, stride), (channels, channels, 3, 1)]
        if bottleneck:
            shape = [(inputs, channels, 1, 1), (channels, channels, 3, stride)]
            shape.append((channels, outputs, 1, 1))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, kernel, step, kernel // 2, bias=False) for i, o, kernel, step in shape
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _, _ in shape)
        self.stride = stride
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for index, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            out = norm(convolution(out))
            if index < len(self.norms) - 1:
                out = F.relu(out)
        # A 1x1 convolution with a stride, written out: on CPUs without AVX-512 oneDNN (torch 2.11)
        # writes past its memory in the backward pass of one with fewer than 8 channels.
        return F.relu(out + self.shortcut(x[:, :, :: self.stride, :: self.stride]))


class ResNet(nn.Module):
    """ResNet-18, -34 or -50 whose first stage has `width` channels (the papers' have 64)."""

    def __init__(self, *, depth: int, width: int, stem: str, outputs: int):
        super().__init__()
        kernel, stride, pool = STEMS[stem]
        layers: list[nn.Module] = [
            nn.Conv2d(3, width, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        if pool:
            layers.append(nn.MaxPool2d(3, 2, 1))
        inputs, bottleneck = width, depth == 50
        for stage, count in enumerate(BLOCKS[depth]):
            channels = width * 2**stage
            for block in range(count):
                step = 2 if stage and not block else 1
                layers.append(Block(inputs, channels, step, bottleneck))
                inputs = 4 * channels if bottleneck else channels
        self.body = nn.Sequential(*layers)
        stem = len(layers) - sum(BLOCKS[depth])
        self.ends = [stem + sum(BLOCKS[depth][: n + 1]) for n in range(len(BLOCKS[depth]))]
        self.head = nn.Linear(inputs, outputs)

    def penultimate(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b p"]:
        """Return pooled features before the last linear layer."""
        return self.body(x).mean((2, 3))

    def stages(self, x: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _"]]:
        """Return pooled features after each stage; the last are the penultimate ones."""
        found = []
        for number, layer in enumerate(self.body, 1):
            x = layer(x)
            if number in self.ends:
                found.append(x.mean((2, 3)))
        return found

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b o"]:
        return self.head(self.penultimate(x))
