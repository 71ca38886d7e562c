"""The text classifier: word embeddings, a GRU, a linear layer (Hendrycks & Gimpel 2017)."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.networks.padding import PAD


class GRUClassifier(nn.Module):
    """Reads numbers of words; the features are the last layer's state after the last word."""

    def __init__(
        self, *, vocabulary: int, embedding: int, hidden: int, layers: int, outputs: int
    ):  # fmt: skip
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=PAD)
        self.gru = nn.GRU(embedding, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, outputs)

    def stages(self, x: Int64[Tensor, "b l"]) -> list[Float[Tensor, "b p"]]:
        """Return the penultimate features of texts, padded behind their words."""
        states, _ = self.gru(self.embedding(x))
        last = (x != PAD).sum(1).clamp(min=1) - 1
        return [states[torch.arange(len(x), device=x.device), last]]

    def forward(self, x: Int64[Tensor, "b l"]) -> Float[Tensor, "b o"]:
        return self.head(self.stages(x)[-1])
