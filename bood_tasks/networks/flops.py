"""Operations of one forward pass, counted from a network's shape alone; nothing here imports torch.

One multiplication and one addition count as two. Convolutions, linear layers and attention are
counted; normalisations, activations and embeddings are not.
"""

from collections.abc import Mapping

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
BOTTLENECK = 50  # from this depth on, blocks have 1x1, 3x3, 1x1 convolutions
TOKENS = 77  # of a prompt in CLIP's text encoder
SD14_UNET = {
    "sample_size": 64,
    "in_channels": 4,
    "cross_attention_dim": 768,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
}
SD14_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
}


def _conv(inputs: int, outputs: int, pixels: int, kernel: int = 3) -> float:
    return 2.0 * kernel**2 * inputs * outputs * pixels


# --- classifiers ---


def resnet_flops(*, depth: int, width: int, stem: str, outputs: int, size: int) -> float:
    """Return the operations of a ResNet on one picture of `size` pixels a side.

    `stem` is one of networks.resnet.STEMS; depth 101 is torchvision's.
    """
    kernel, stride, pool = {"cifar": (3, 1, 1), "strided": (3, 2, 1), "imagenet": (7, 2, 2)}[stem]
    side = -(-size // stride)
    total = _conv(3, width, side**2, kernel)
    side = -(-side // pool)
    inputs, wide = width, 4 if depth >= BOTTLENECK else 1
    for stage, count in enumerate(BLOCKS[depth]):
        channels = width * 2**stage
        for block in range(count):
            before, step = side, 2 if stage and not block else 1
            side = -(-side // step)
            ends = wide * channels
            if wide > 1:
                total += _conv(inputs, channels, before**2, 1)
                total += _conv(channels, channels, side**2) + _conv(channels, ends, side**2, 1)
            else:
                total += _conv(inputs, channels, side**2) + _conv(channels, channels, side**2)
            if step != 1 or inputs != ends:
                total += _conv(inputs, ends, side**2, 1)
            inputs = ends
    return total + 2.0 * inputs * outputs


def wide_resnet_flops(*, depth: int, width: int, outputs: int, size: int) -> float:
    """Return the operations of WRN-`depth`-`width` on one picture."""
    channels, side, total = 16, size, _conv(3, 16, size**2)
    for stage in range(3):
        ends = 16 * 2**stage * width
        side = -(-side // 2) if stage else side
        for block in range((depth - 4) // 6):
            inputs = ends if block else channels
            total += _conv(inputs, ends, side**2) + _conv(ends, ends, side**2)
            total += _conv(inputs, ends, side**2, 1) if inputs != ends else 0
        channels = ends
    return total + 2.0 * channels * outputs


def _transformer(tokens: int, width: int, layers: int) -> float:
    """Return the operations of encoder layers whose hidden layer is four times as wide."""
    return layers * (24.0 * tokens * width**2 + 4.0 * tokens**2 * width)


def vit_flops(*, outputs: int) -> float:
    """Return the operations of ViT-B/16 on one picture of 224 pixels."""
    patches, width = 14**2, 768
    embedding = 2.0 * patches * 3 * 16**2 * width
    return embedding + _transformer(patches + 1, width, 12) + 2.0 * width * outputs


def gru_flops(*, embedding: int, hidden: int, layers: int, outputs: int, words: int) -> float:
    """Return the operations of the text classifier on one text of `words` words."""
    inputs = embedding + (layers - 1) * hidden
    return 6.0 * words * hidden * (inputs + layers * hidden) + 2.0 * hidden * outputs


def classifier_flops(description: Mapping, *, outputs: int, size: int) -> float:
    """Return the operations of a classifier on one picture of `size` pixels a side, or one text of
    `size` words. `description` holds `network`, a ResNet if absent, and its shape."""
    match description.get("network", "resnet"):
        case "resnet":
            shape = {key: description[key] for key in ("depth", "width", "stem")}
            return resnet_flops(**shape, outputs=outputs, size=size)
        case "wideresnet":
            shape = {key: description[key] for key in ("depth", "width")}
            return wide_resnet_flops(**shape, outputs=outputs, size=size)
        case "vit_b16":
            return vit_flops(outputs=outputs)
        case "resnet101":
            return resnet_flops(depth=101, width=64, stem="imagenet", outputs=outputs, size=size)
    shape = {key: description[key] for key in ("embedding", "hidden", "layers")}
    return gru_flops(**shape, outputs=outputs, words=size)


# --- latent diffusion ---


def _residual(inputs: int, outputs: int, pixels: int, time: int) -> float:
    """Return a residual block's operations; `time` is the width of the time embedding, 0: none."""
    total = _conv(inputs, outputs, pixels) + _conv(outputs, outputs, pixels) + 2.0 * time * outputs
    return total + (_conv(inputs, outputs, pixels, 1) if inputs != outputs else 0)


def _attended(width: int, pixels: int, context: int) -> float:
    """Return the operations of a transformer block with cross-attention and its projections."""
    projections = 2 * _conv(width, width, pixels, 1)
    attention = 8.0 * pixels * width**2 + 4.0 * pixels**2 * width
    crossed = 4.0 * pixels * width**2 + 4.0 * TOKENS * context * width
    crossed += 4.0 * pixels * TOKENS * width
    return projections + attention + crossed + 24.0 * pixels * width**2


def unet_flops(config: Mapping, *, side: int) -> float:
    """Return the operations of one evaluation of a UNet2DConditionModel on latents of `side`."""
    widths, layers = tuple(config["block_out_channels"]), config["layers_per_block"]
    channels, context = config.get("in_channels", 4), config["cross_attention_dim"]
    time = 4 * widths[0]

    def attended(kind: str, width: int, pixels: int) -> float:
        return _attended(width, pixels, context) if kind.startswith("CrossAttn") else 0.0

    total = 2.0 * (widths[0] * time + time**2) + _conv(channels, widths[0], side**2)
    inputs, skips = widths[0], [widths[0]]
    for number, (width, kind) in enumerate(zip(widths, config["down_block_types"], strict=True)):
        for _ in range(layers):
            total += _residual(inputs, width, side**2, time) + attended(kind, width, side**2)
            inputs = width
            skips.append(width)
        if number < len(widths) - 1:
            side = -(-side // 2)
            total += _conv(width, width, side**2)
            skips.append(width)
    total += 2 * _residual(inputs, inputs, side**2, time) + _attended(inputs, side**2, context)
    upwards = zip(reversed(widths), config["up_block_types"], strict=True)
    for number, (width, kind) in enumerate(upwards):
        for _ in range(layers + 1):
            total += _residual(inputs + skips.pop(), width, side**2, time)
            total += attended(kind, width, side**2)
            inputs = width
        if number < len(widths) - 1:
            side *= 2
            total += _conv(width, width, side**2)
    return total + _conv(inputs, channels, side**2)


def vae_decoder_flops(config: Mapping, *, side: int) -> float:
    """Return the operations of an AutoencoderKL's decoder on latents of `side`."""
    widths, layers = tuple(config["block_out_channels"]), config["layers_per_block"]
    latent, inputs = config["latent_channels"], widths[-1]
    total = _conv(latent, latent, side**2, 1) + _conv(latent, inputs, side**2)
    total += 2 * _residual(inputs, inputs, side**2, 0)
    total += 8.0 * side**2 * inputs**2 + 4.0 * side**4 * inputs
    for number, width in enumerate(reversed(widths)):
        for _ in range(layers + 1):
            total += _residual(inputs, width, side**2, 0)
            inputs = width
        if number < len(widths) - 1:
            side *= 2
            total += _conv(width, width, side**2)
    return total + _conv(inputs, config.get("out_channels", 3), side**2)


def evaluations(scheduler: str, steps: int) -> int:
    """Return how often the UNet runs: PNDM without its warm-up makes one more than its steps."""
    return steps + 1 if scheduler == "pndm" else steps


def picture_side(unet: Mapping, vae: Mapping, resolution: int | None) -> int:
    """Return the pixels a side of a generated picture; `resolution` None: the generator's own."""
    return resolution or unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1)


def image_flops(
    unet: Mapping, vae: Mapping, *, resolution: int, evaluations: int, guided: bool
) -> float:
    """Return the operations of one image: UNet evaluations, twice with guidance, and the VAE."""
    side = resolution // 2 ** (len(vae["block_out_channels"]) - 1)
    each = unet_flops(unet, side=side)
    return evaluations * (2 if guided else 1) * each + vae_decoder_flops(vae, side=side)
