"""A small text-to-image pipeline of Stable Diffusion v1's component types, before training.

Same classes, same folder layout, same conditioning as SD v1.4, at sizes for one CPU core: 32 x 32
pixels, by default 8 x 8 x 4 latents, text width 128. What `generator` trains and `diffusion` loads.
"""

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from bood_tasks.networks.small_diffusion import (
    TEXT_WIDTH,
    UNET_CHANNELS,
    VAE_CHANNELS,
    unet_shape,
    vae_shape,
)
from bood_tasks.networks.words import require_letters

PROMPT = "A high-quality image of the {word}"
TOKENS = 16  # prompt length L; 10 are used
ANCHOR_NORM = 0.39  # the usual norm of a row of SD v1.4's token-embedding table
LEAN = 0.42  # the largest cosine in CLIP's table between CIFAR-100 class names is .47
START, END = "<|startoftext|>", "<|endoftext|>"


def _byte_letters() -> list[str]:
    """The 256 printable stand-ins for bytes, in byte order (GPT-2's table, which CLIP uses)."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {byte: chr(byte) for byte in kept}
    spare = (chr(256 + i) for i in range(256))
    return [table[byte] if byte in table else next(spare) for byte in range(256)]


def byte_pair_vocabulary(words: Sequence[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's vocabulary and merge list in which each of `words` is one token.

    Words are added one after another: the merges so far are applied, then what pieces are left is
    merged from left to right. A later merge ranks lower, so it cannot undo an earlier word. All
    other text falls back to pieces and in the end to bytes.
    """
    letters = _byte_letters()
    merges: list[tuple[str, str]] = []
    for word in words:
        pieces = [*word[:-1], word[-1] + "</w>"]
        for pair in merges:
            pieces = _merge(pieces, pair)
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces = _merge(pieces, merges[-1])
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    tokens += dict.fromkeys(a + b for a, b in merges)
    return {token: i for i, token in enumerate([*tokens, START, END])}, merges


def _merge(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged


def build_tokenizer(words: Sequence[str], folder: Path) -> CLIPTokenizer:
    """Write vocab.json and merges.txt for `words` and the prompt into `folder`; load them.

    Raises ValueError if a word is not lower-case letters only (CLIP splits others).
    """
    require_letters({word: word for word in words})
    vocabulary, merges = byte_pair_vocabulary([*prompt_words(), *words])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": TOKENS,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
        "add_prefix_space": False,
        "do_lower_case": True,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1), "utf-8")
    return CLIPTokenizer.from_pretrained(folder)


def prompt_words() -> list[str]:
    """The prompt's own words, as CLIP splits them."""
    return ["a", "high", "-", "quality", "image", "of", "the"]


def embedding_table(
    rows: int, classes: Sequence[int], others: Sequence[int], rest: Sequence[int]
) -> Float[Tensor, "rows d"]:
    """A token-embedding table of norm ANCHOR_NORM; uses torch's global random state.

    Classes (the anchors-to-be) and `rest` get orthogonal rows, as far as D allows. Every row of
    `others` leans towards two classes, with a cosine of LEAN to each, and has a direction of its
    own beside them: as in CLIP's table, where other words lie between the words of two classes.
    Without that, whatever lay between two anchors decoded to one of the two.
    """
    first = [*classes, *others, *rest]
    blocks = [
        torch.linalg.qr(torch.randn(TEXT_WIDTH, TEXT_WIDTH))[0] for _ in range(0, rows, TEXT_WIDTH)
    ]
    table = torch.empty(rows, TEXT_WIDTH)
    table[[*first, *sorted(set(range(rows)) - set(first))]] = torch.cat(blocks)[:rows]
    pairs = list(combinations(classes, 2))
    if pairs:
        order = torch.randperm(len(pairs)).tolist()
        for i, row in enumerate(others):
            one, other = pairs[order[i % len(pairs)]]
            own = (1 - 2 * LEAN**2) ** 0.5
            table[row] = LEAN * (table[one] + table[other]) + own * table[row]
    return table * ANCHOR_NORM


def build_pipeline(
    class_words: Sequence[str],
    other_words: Sequence[str],
    tokenizer_folder: Path,
    *,
    vae_channels: Sequence[int] = VAE_CHANNELS,
    unet_channels: Sequence[int] = UNET_CHANNELS,
) -> StableDiffusionPipeline:
    """An untrained pipeline for these words; uses torch's global random state."""
    tokenizer = build_tokenizer([*class_words, *other_words], tokenizer_folder)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            intermediate_size=2 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    vocabulary = tokenizer.get_vocab()
    classes, others, rest = (
        [vocabulary[word + "</w>"] for word in words]
        for words in (class_words, other_words, prompt_words())
    )
    rest += [vocabulary[START], vocabulary[END]]
    with torch.no_grad():
        text_encoder.get_input_embeddings().weight.copy_(
            embedding_table(len(tokenizer), classes, others, rest)
        )
    vae = AutoencoderKL(**vae_shape(vae_channels))
    unet = UNet2DConditionModel(**unet_shape(unet_channels, vae_channels))
    scheduler = PNDMScheduler(  # SD v1.4's
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_pipeline(pipe: StableDiffusionPipeline, folder: Path) -> None:
    """Write Stable Diffusion v1's folder layout, weights in float16 (half the size on disk)."""
    pipe.to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
    # transformers 5 writes tokenizer.json alone; SD v1's folders hold vocab.json + merges.txt.
    tokenizer = folder / "tokenizer"
    stored = json.loads((tokenizer / "tokenizer.json").read_text("utf-8"))["model"]
    (tokenizer / "vocab.json").write_text(json.dumps(stored["vocab"], ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in stored["merges"])]
    (tokenizer / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    (tokenizer / "tokenizer.json").unlink()
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)  # the writer leaves them readable by their owner alone
