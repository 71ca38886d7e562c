"""What the families with two CLIP encoders share: one vector that is a row of both tables.

An anchor is the class's rows of the two token-embedding tables, one after the other, and an outlier
vector is cut at the same place: each encoder gets its own part at {class}. So an anchor decodes to
what the pipeline makes of the class's word, which no choice with the vector in one encoder gives:
the other one would name the class, or a stand-in (docs/generator.md).
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bood_tasks.generators.text_to_image.diffusion import encode_text
from bood_tasks.generators.text_to_image.words import pick_tokens


def anchor_table(pipe, words: Mapping[str, str]) -> tuple[Float[np.ndarray, "v d"], list[int]]:
    """Each word's rows of both tables, and its tokens in the first."""
    parts, tokens = [], []
    for encoder, tokenizer in _both(pipe):
        tokens.append(pick_tokens(tokenizer, words))
        table = encoder.get_input_embeddings().weight
        parts.append(table.detach().float().cpu().numpy()[tokens[-1]])
    return np.concatenate(parts, axis=1), tokens[0]


def encode_both(
    pipe, prompt: str, vectors: Float[Tensor, "b d"] | None
) -> tuple[Float[Tensor, "b l e"], Float[Tensor, "b p"]]:
    """The encoders' last but one states side by side, and their projections in a row.

    An encoder without a projection, as SDXL's first, has none there.
    """
    states, pooled = [], []
    widths = [encoder.get_input_embeddings().embedding_dim for encoder, _ in _both(pipe)]
    if vectors is not None and vectors.shape[1:] != (sum(widths),):
        raise ValueError(
            f"vectors must be [b, {' + '.join(map(str, widths))}] for these text encoders, "
            f"got {list(vectors.shape)}; make the anchors from the same generator"
        )
    parts = (None, None) if vectors is None else vectors.split(widths, dim=1)
    for (encoder, tokenizer), part in zip(_both(pipe), parts, strict=True):
        found = encode_text(encoder, tokenizer, prompt, part, output_hidden_states=True)
        states.append(found.hidden_states[-2])
        if "text_embeds" in found:
            pooled.append(found.text_embeds)
    return torch.cat(states, dim=-1), torch.cat(pooled, dim=-1)


def _both(pipe) -> tuple:
    return (pipe.text_encoder, pipe.tokenizer), (pipe.text_encoder_2, pipe.tokenizer_2)
