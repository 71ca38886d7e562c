"""The names under which ViT-B/16's weights are published: timm's, and those of pytorch-ood."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# pytorch-ood's names (asyml's vision-transformer-pytorch) and timm's; `attn` is packed below.
NAMES = (
    (r"^embedding\.", "patch_embed.proj."),
    (r"^transformer\.pos_embedding\.pos_embedding$", "pos_embed"),
    (r"^transformer\.encoder_layers\.", "blocks."),
    (r"^transformer\.norm\.", "norm."),
    (r"^classifier\.", "head."),
)
PACKED = ("query", "key", "value")


def as_timm(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights of pytorch-ood's ViT under timm's names; weights under others as they are.

    Its attention has [in, heads, d] for queries, keys and values, and [heads, d, out] after them;
    timm has one matrix [3 out, in], rows of the heads in order, and [out, in].
    """
    if "transformer.pos_embedding.pos_embedding" not in state:
        return dict(state)
    found: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        for pattern, ours in NAMES:
            name = re.sub(pattern, ours, name)
        block, attention, rest = name.partition(".attn.")
        part, _, kind = rest.partition(".")
        if attention and part in PACKED:
            flat = value.flatten(1).T if kind == "weight" else value.flatten()
            parts.setdefault(f"{block}.attn.qkv.{kind}", {})[part] = flat
        elif attention and part == "out":
            found[f"{block}.attn.proj.{kind}"] = (
                value.flatten(0, 1).T if kind == "weight" else value
            )
        else:
            found[name] = value
    for name, each in parts.items():
        if len(each) == len(PACKED):  # else the name stays away, and is told as missing
            found[name] = torch.cat([each[part] for part in PACKED])
    return found
