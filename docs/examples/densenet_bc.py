"""DenseNet-BC for CIFAR (Huang et al. 2017), named as github.com/deeplearning-wisc/dice has it."""

import torch
import torch.nn.functional as F
from torch import nn


class Bottleneck(nn.Module):
    def __init__(self, inputs, growth):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        new = self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))
        return torch.cat([x, new], 1)


class Dense(nn.Module):
    def __init__(self, count, inputs, growth):
        super().__init__()
        self.layer = nn.Sequential(*(Bottleneck(inputs + n * growth, growth) for n in range(count)))

    def forward(self, x):
        return self.layer(x)


class Transition(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, inputs // 2, 1, bias=False)

    def forward(self, x):
        return F.avg_pool2d(self.conv1(F.relu(self.bn1(x))), 2)


class DenseNet(nn.Module):
    def __init__(self, depth, growth, classes):
        super().__init__()
        count, width = (depth - 4) // 6, 2 * growth
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        for number in (1, 2, 3):
            setattr(self, f"block{number}", Dense(count, width, growth))
            width += count * growth
            if number < 3:
                setattr(self, f"trans{number}", Transition(width))
                width //= 2
        self.bn1, self.fc = nn.BatchNorm2d(width), nn.Linear(width, classes)

    def forward(self, x):
        x = self.trans1(self.block1(self.conv1(x)))
        x = self.block3(self.trans2(self.block2(x)))
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


def densenet100(classes):
    return DenseNet(100, 12, classes)
