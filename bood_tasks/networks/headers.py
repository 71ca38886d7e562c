"""What a folder's .safetensors files say of their weights, read from their headers alone."""

import json
from collections.abc import Mapping
from pathlib import Path

from bood_tasks.networks.pipelines import COMPONENTS, CONFIG, MODELS, family_of, read_json

# Of each class of model: a weight of which it has one whatever its size, and what of the
# configuration its first dimensions are (an index: of a list).
TELLING = {
    "text_encoder": (
        ("text_model.embeddings.token_embedding.weight", "embeddings.token_embedding.weight"),
        ("vocab_size", "hidden_size"),
    ),
    "unet": (("conv_in.weight",), (("block_out_channels", 0), "in_channels")),
    "transformer": (("pos_embed.proj.weight",), (None, "in_channels")),
    "vae": (("decoder.conv_in.weight",), (("block_out_channels", -1), "latent_channels")),
}
TELLING["text_encoder_2"] = TELLING["text_encoder"]


def header(file: Path) -> dict[str, dict]:
    """Return {weight: dtype, shape, data_offsets} of a .safetensors file; {} for anything else.

    The format: 8 bytes with the header's length, little-endian; a JSON header; data.
    """
    size = file.stat().st_size
    with file.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        text = handle.read(length) if 0 < length < size else b""
    try:
        return {name: item for name, item in json.loads(text).items() if "dtype" in item}
    except (ValueError, TypeError, AttributeError):
        return {}


def _wanted(config: Mapping, key: str | tuple[str, int] | None) -> int | None:
    if isinstance(key, tuple):
        return config[key[0]][key[1]] if config.get(key[0]) else None
    return config.get(key) if key else None


def require_weights(folder: Path, setting: str) -> None:
    """Raise FileNotFoundError or ValueError unless each model of a pipeline's folder has weights of
    the shapes that its configuration says: what loading would find, before the first job."""
    for part in COMPONENTS[family_of(folder, setting)]:
        if part not in MODELS:
            continue
        files = sorted((folder / part).glob("*.safetensors"))
        if not files:
            raise FileNotFoundError(
                f"{setting} must hold weights of every part, and {folder / part} has no "
                ".safetensors; copy the whole folder, or convert other formats with "
                "`from_pretrained(..., use_safetensors=False).save_pretrained(...)`"
            )
        names, keys = TELLING[part]
        weights = {name: item for file in files for name, item in header(file).items()}
        found = next((name for name in names if name in weights), None)
        if found is None:
            raise ValueError(
                f"{setting} must hold weights of every part, and {folder / part} lacks {names[0]}: "
                "they are another network's; copy the folder again"
            )
        config, shape = read_json(folder / part / CONFIG), weights[found]["shape"]
        for size, key in zip(shape, keys, strict=False):
            if (wanted := _wanted(config, key)) not in (None, size):
                raise ValueError(
                    f"{setting}: {folder / part} has {found} of shape {shape}, its config.json "
                    f"says {wanted}: they are of two networks; copy the folder again"
                )
