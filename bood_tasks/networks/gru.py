"""The text classifier: word embeddings, a GRU, a linear layer (Hendrycks & Gimpel 2017).

Texts differ in length by a factor of 1,000, so a batch is read in stretches: a text takes part
until its last word and costs nothing behind it.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.networks.padding import PAD, UNKNOWN

SHARE = 16  # a stretch ends with the texts of another 1/SHARE of the batch
WORDS_AT_ONCE = 100_000  # of a stretch, texts times length, which bounds the memory


def stretches(lengths: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (first word, word behind the last, texts) of each stretch of a batch of falling
    lengths: the texts that still run at its first word."""
    share, start = -(-len(lengths) // SHARE), 0
    while start < lengths[0]:
        running = sum(length > start for length in lengths)
        end = lengths[max(0, running - share)]
        end = min(end, start + max(1, WORDS_AT_ONCE // running))
        yield start, end, running
        start = end


class GRUClassifier(nn.Module):
    """Reads numbers of words; the features are the last layer's state after the last word.

    `lead`: unknown words read before every text. GOE pads texts in front, with the number of the
    unknown word: its GRU begins where a run of unknown words leaves it.
    """

    def __init__(
        self, *, vocabulary: int, embedding: int, hidden: int, layers: int, outputs: int,
        lead: int = 0,
    ):  # fmt: skip
        super().__init__()
        self.lead = lead
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=PAD)
        self.gru = nn.GRU(embedding, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, outputs)

    def _start(self, x: Int64[Tensor, "b l"]) -> Float[Tensor, "layers b h"] | None:
        """Return the state before the first word; None means zero."""
        if not self.lead:
            return None
        _, state = self.gru(self.embedding(x.new_full((1, self.lead), UNKNOWN)))
        return state.expand(-1, len(x), -1)

    def stages(self, x: Int64[Tensor, "b l"]) -> list[Float[Tensor, "b p"]]:
        """Return the penultimate features of texts, padded behind their words.

        The one question that a training step asks of the device is the texts' lengths, here.
        """
        if torch.compiler.is_exporting():
            return [self._exported(x)]
        lengths, order = (x != PAD).sum(1).clamp(min=1).sort(descending=True, stable=True)
        known = lengths.tolist()
        parts = list(stretches(known))
        words = [x[order[:running], start:end] for start, end, running in parts]
        # One look-up for all: each would have a gradient of the size of the vocabulary.
        read = self.embedding(torch.cat([part.flatten() for part in words]))
        read = read.split([part.numel() for part in words])
        state, ended = self._start(x), []
        for (start, end, running), part, vectors in zip(parts, words, read, strict=True):
            if state is not None:
                state = state[:, :running].contiguous()
            states, state = self.gru(vectors.view(*part.shape, -1), state)
            first = sum(length > end for length in known)  # from there on texts end here
            done = torch.arange(first, running, device=x.device)
            ended.append(states[done, lengths[first:running] - 1 - start])
        return [torch.cat(ended[::-1])[order.argsort()]]

    def _exported(self, x: Int64[Tensor, "b l"]) -> Float[Tensor, "b p"]:
        """Return the same features as a graph that asks for no length: by ONNX's own GRU, whose
        gates stand in another order, and which ends each text at its length."""
        lengths, gru = (x != PAD).sum(1).clamp(min=1).int(), self.gru
        state, hidden = x.new_zeros(gru.num_layers, 1, gru.hidden_size, dtype=torch.float32), None
        if self.lead:
            state = gru(self.embedding(x.new_full((1, self.lead), UNKNOWN)))[1]

        def gates(name: str) -> Tensor:
            reset, update, new = getattr(gru, name).chunk(3)
            return torch.cat([update, reset, new])[None]

        words, count = self.embedding(x).transpose(0, 1), x.shape[0]
        for layer in range(gru.num_layers):
            biases = torch.cat([gates(f"bias_ih_l{layer}"), gates(f"bias_hh_l{layer}")], 1)
            states, hidden = torch.onnx.ops.symbolic_multi_out(
                "GRU",
                (words, gates(f"weight_ih_l{layer}"), gates(f"weight_hh_l{layer}"), biases,
                 lengths, state[layer][None].expand(1, count, -1)),
                attrs={"hidden_size": gru.hidden_size, "linear_before_reset": 1},
                dtypes=(torch.float32, torch.float32),
                shapes=((x.shape[1], 1, count, gru.hidden_size), (1, count, gru.hidden_size)),
                version=18,
            )  # fmt: skip
            words = states[:, 0]
        return hidden[0]

    def forward(self, x: Int64[Tensor, "b l"]) -> Float[Tensor, "b o"]:
        return self.head(self.stages(x)[-1])
