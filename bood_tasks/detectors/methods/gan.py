"""Confidence-calibrated training with a GAN (Lee et al. 2018a): a generator draws its own outliers.

The classifier P is to be uniform on what the generator G draws, and G draws where P already is
and the discriminator D takes it for data: at the edge of the data. Scored by MSP.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.func import functional_call

from bood_tasks.detectors.method import Method
from bood_tasks.networks.pixels import MEAN, STD
from bood_tasks.training.augmentation import to_device
from bood_tasks.training.recipe import Recipe, Step, optimiser

VERSION = 1
LATENT = 100  # this and the next as the authors' code and DCGAN (Radford et al. 2016)
ADAM_LR, ADAM_BETAS = 2e-4, (0.5, 0.999)
WIDEST = 8  # times the width, at the smallest picture
LARGEST_INPUT = (1 - MEAN) / STD  # of networks.to_input


def halvings(size: int) -> int:
    """Return how often a picture's side is halved to reach 4..7; ValueError if it cannot be."""
    count = size.bit_length() - 3
    if count < 1 or size % 2**count:
        raise ValueError(
            f"the picture size must be 4, 5, 6 or 7 times a power of two, at least 8, for gan, "
            f"got {size}; change the data set's size"
        )
    return count


def _channels(size: int, width: int) -> list[int]:
    """Return the inner channels from the smallest picture outwards."""
    return [max(1, WIDEST * width >> level) for level in range(halvings(size))]


def _started(network: nn.Sequential) -> nn.Sequential:
    """Return the network with DCGAN's start: normal weights of standard deviation .02."""
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.02)
    return network


def generator(size: int, width: int) -> nn.Sequential:
    """Return G: z [b, 100, 1, 1] -> [-1, 1] pictures [b, 3, s, s], by transposed convolutions."""
    inner = _channels(size, width)
    layers: list[nn.Module] = [nn.ConvTranspose2d(LATENT, inner[0], size >> len(inner), bias=False)]
    for inputs, outputs in zip(inner, [*inner[1:], 3], strict=True):
        layers += [nn.BatchNorm2d(inputs), nn.ReLU()]
        layers.append(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False))
    return _started(nn.Sequential(*layers, nn.Tanh()))


def discriminator(size: int, width: int) -> nn.Sequential:
    """Return D: network input -> logit [b, 1, 1, 1] of being data, G's layers the other way."""
    inner = _channels(size, width)[::-1]
    layers: list[nn.Module] = []
    for level, (inputs, outputs) in enumerate(zip([3, *inner], inner, strict=False)):
        layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False))
        if level:
            layers.append(nn.BatchNorm2d(outputs))
        layers.append(nn.LeakyReLU(0.2))
    layers.append(nn.Conv2d(inner[-1], 1, size >> len(inner), bias=False))
    return _started(nn.Sequential(*layers))


def uniform_divergence(logits: Float[Tensor, "b v"]) -> Float[Tensor, ""]:
    """Return the mean KL(U || P) = -log v - mean_y log P(y|x) of softmax P; 0 where P = U."""
    return -(logits.log_softmax(1).mean(1) + math.log(logits.shape[1])).mean()


def says(logits: Float[Tensor, "b 1 1 1"], real: float) -> Float[Tensor, ""]:
    """Return the binary cross-entropy of a discriminator's logits when all are `real` (1 or 0)."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, real))


def frozen(module: nn.Module, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
    """Return module(x), with a gradient to x but none to its weights, and no trace in its
    running statistics."""
    state = {name: value.detach() for name, value in module.named_parameters()}
    state |= {name: value.clone() for name, value in module.named_buffers()}
    return functional_call(module, state, (x,))


class GAN(Method):
    """A classifier P, a generator G of pictures `size` on a side and a discriminator D."""

    def __init__(
        self, network: nn.Module, *, classes: int, size: int, width: int, kl_weight: float
    ):
        super().__init__(network, classes=classes)
        self.kl_weight = kl_weight
        self.generator = generator(size, width)
        self.discriminator = discriminator(size, width)

    @torch.compiler.disable
    def loss(
        self, x: Float[Tensor, "n 3 h w"], y: Int64[Tensor, " b"], step: Step
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the sum of three losses, each with a gradient to its own network alone:

        P: CE(x) + beta KL(U || P(G(z))); D: BCE(D(x), 1) + BCE(D(G(z)), 0);
        G: BCE(D(G(z)), 1) + beta KL(U || P(G(z))).

        P sees data and drawn pictures in one pass, hence one set of batch statistics, as every
        method here; its running statistics, which tests use, are of that mixture. (The authors'
        P has no batch norm.) D sees them in two passes, as DCGAN. For G both are frozen.
        """
        data = x[: len(y)]
        z = torch.randn(len(data), LATENT, 1, 1, generator=step.rng)
        drawn = LARGEST_INPUT * self.generator(to_device(z, x.device))
        given = drawn.detach()

        logits = self.network(torch.cat([data, given]))
        ce, kl = F.cross_entropy(logits[: len(y)], y), uniform_divergence(logits[len(y) :])
        d = says(self.discriminator(data), 1) + says(self.discriminator(given), 0)
        fooled = says(frozen(self.discriminator, drawn), 1)
        edge = uniform_divergence(frozen(self.network, torch.cat([data, drawn]))[len(y) :])
        return {
            "loss": ce + self.kl_weight * kl + d + fooled + self.kl_weight * edge,
            "ce": ce, "kl": kl, "discriminator": d, "generator": fooled,
        }  # fmt: skip

    def optimisers(self, recipe: Recipe) -> list[torch.optim.Optimizer]:
        """Return the recipe's for P and DCGAN's Adam for G and for D."""
        adams = [
            torch.optim.Adam(net.parameters(), lr=ADAM_LR, betas=ADAM_BETAS)
            for net in (self.generator, self.discriminator)
        ]
        return [optimiser(self.network.parameters(), recipe), *adams]


METHOD = GAN
