"""A causal transformer language model: embeddings, positions, blocks, a linear layer to words.

Post-norm blocks with sinusoidal positions, as PyTorch's own example, which GOE trains; PyTorch's
TransformerEncoderLayer with the same weights computes the same (a test says so). Written out for
the key-value cache: word t + 1 costs one pass over one word.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.networks.float64 import float64, float64_device

INIT = 0.1  # embeddings start uniform in [-INIT, INIT]
LONGEST = 10_000.0
Cache = list[tuple[Tensor, Tensor]]  # each block's keys and values [b, heads, t, d]


@dataclass(frozen=True)
class Shape:
    """What a language model is built from; `words` is the size of its vocabulary."""

    words: int
    layers: int
    width: int
    heads: int
    hidden: int
    dropout: float
    tied: bool

    def __post_init__(self):
        if self.width % self.heads or self.width % 2:
            raise ValueError(
                f"language_model width must be even and a multiple of heads = {self.heads}, got "
                f"{self.width}"
            )


def positions(first: int, count: int, width: int, device) -> Float[Tensor, "t w"]:
    """Return sines and cosines of positions first..first + count, of wave lengths up to LONGEST."""
    position = torch.arange(first, first + count, device=device)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(LONGEST) / width))
    return torch.stack([torch.sin(position * rates), torch.cos(position * rates)], 2).flatten(1)


class Block(nn.Module):
    """Self-attention and a feed-forward net, each with dropout, a shortcut and a norm behind."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.heads, self.dropout = shape.heads, shape.dropout
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)
        self.first = nn.Linear(shape.width, shape.hidden)
        self.second = nn.Linear(shape.hidden, shape.width)
        self.norms = nn.ModuleList(nn.LayerNorm(shape.width) for _ in range(2))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)

    def forward(
        self, x: Float[Tensor, "b t w"], past: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Float[Tensor, "b t w"], tuple[Tensor, Tensor]]:
        """Return the block's states and its keys and values, those of the past in front."""
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, 2)
        )
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        mixed = F.scaled_dot_product_attention(
            q, k, v, is_causal=past is None, dropout_p=self.dropout if self.training else 0.0
        )
        x = self.norms[0](x + self._drop(self.out(mixed.transpose(1, 2).flatten(2))))
        inner = self.second(self._drop(F.relu(self.first(x))))
        return self.norms[1](x + self._drop(inner)), (k, v)


class Transformer(nn.Module):
    """Logits of each next word."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.words, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.bias = nn.Parameter(torch.zeros(shape.words))
        nn.init.uniform_(self.embedding.weight, -INIT, INIT)
        if not shape.tied:
            self.output = nn.Parameter(torch.empty(shape.words, shape.width))
            nn.init.uniform_(self.output, -INIT, INIT)

    def forward(
        self, words: Int64[Tensor, "b t"], past: Cache | None = None
    ) -> tuple[Float[Tensor, "b t v"], Cache]:
        """Return logits after each word, and the cache for words that follow.

        With a past, one word of each text at a time.
        """
        before = past[0][0].shape[2] if past else 0
        x = self.embedding(words) * math.sqrt(self.shape.width)
        x = x + positions(before, words.shape[1], self.shape.width, words.device).to(x)
        x = F.dropout(x, self.shape.dropout, self.training)
        now = []
        for number, block in enumerate(self.blocks):
            x, kept = block(x, past[number] if past else None)
            now.append(kept)
        output = self.embedding.weight if self.shape.tied else self.output
        return F.linear(x, output, self.bias), now


@torch.inference_mode()
def sample(
    model: Transformer,
    uniforms: Float[Tensor, "b l"],
    *,
    temperature: float,
    start: int,
    never: tuple[int, ...],
    cached: bool = True,
) -> Int64[Tensor, "b l"]:
    """Return texts drawn word by word at a temperature: p ~ exp(logits / T).

    `uniforms` in [0, 1) decide each text's words by inversion, in float64: a text's own numbers
    alone, whatever stands beside it. `never`: words that have probability 0. Without the
    cache every step runs over the whole text so far; the same words, slower. Raises ValueError
    for logits that are not finite.
    """
    device = model.embedding.weight.device
    words = torch.full((len(uniforms), 1), start, dtype=torch.long, device=device)
    uniforms, past = uniforms.double().to(float64_device(device.type)), None
    finite = torch.ones((), dtype=torch.bool, device=uniforms.device)
    for position in range(uniforms.shape[1]):
        logits, kept = model(words[:, -1:] if past else words, past)
        past = kept if cached else None
        last = float64(logits[:, -1]) / temperature
        finite &= torch.isfinite(last).all()
        last[:, list(never)] = -math.inf
        sums = last.softmax(1).cumsum(1)
        at = uniforms[:, position, None] * sums[:, -1:]
        drawn = torch.searchsorted(sums, at, right=True).clamp(max=sums.shape[1] - 1)
        words = torch.cat([words, drawn.to(device)], 1)
    if not finite:  # asked once, when the words are wanted anyway
        raise ValueError(
            "a language model's logits must be finite, and are not at temperature "
            f"{temperature:g} in {logits.dtype}; set texts.dtype: float32, or raise "
            "texts.temperature"
        )
    return words[:, 1:]
