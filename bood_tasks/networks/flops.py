"""Operations of one forward pass, counted from a network's shape alone; nothing here imports torch.

One multiplication and one addition count as two. Convolutions, linear layers and attention are
counted; normalisations, activations and embeddings are not.
"""

from collections.abc import Mapping

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
BOTTLENECK = 50  # from this depth on, blocks have 1x1, 3x3, 1x1 convolutions
TOKENS = 77  # of a prompt in CLIP's text encoder
T5_TOKENS = 256  # beside them in Stable Diffusion 3's
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
_SD2_UNET = SD14_UNET | {"cross_attention_dim": 1024}
_SDXL_UNET = {
    "sample_size": 128,
    "in_channels": 4,
    "cross_attention_dim": 2048,
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
    "up_block_types": (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
}
HUB = {  # repositories whose shapes are known before they are fetched
    "CompVis/stable-diffusion-v1-4": SD14_UNET,
    "stable-diffusion-v1-5/stable-diffusion-v1-5": SD14_UNET,
    "SimianLuo/LCM_Dreamshaper_v7": SD14_UNET | {"sample_size": 96, "time_cond_proj_dim": 256},
    "stabilityai/sd-turbo": _SD2_UNET,
    "stabilityai/stable-diffusion-xl-base-1.0": _SDXL_UNET,
    "stabilityai/sdxl-turbo": _SDXL_UNET | {"sample_size": 64},
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


def _attended(width: int, pixels: int, context: int, layers: int) -> float:
    """Return the operations of transformer layers with cross-attention and their projections."""
    projections = 2 * _conv(width, width, pixels, 1)
    attention = 8.0 * pixels * width**2 + 4.0 * pixels**2 * width
    crossed = 4.0 * pixels * width**2 + 4.0 * TOKENS * context * width
    crossed += 4.0 * pixels * TOKENS * width
    return projections + layers * (attention + crossed + 24.0 * pixels * width**2)


def unet_flops(config: Mapping, *, side: int) -> float:
    """Return the operations of one evaluation of a UNet2DConditionModel on latents of `side`."""
    widths, layers = tuple(config["block_out_channels"]), config["layers_per_block"]
    channels, context = config.get("in_channels", 4), config["cross_attention_dim"]
    time, depth = 4 * widths[0], config.get("transformer_layers_per_block", 1)
    depths = [depth] * len(widths) if isinstance(depth, int) else list(depth)
    added = config.get("projection_class_embeddings_input_dim") or 0  # sizes and a pooled vector

    def attended(kind: str, width: int, pixels: int, depth: int) -> float:
        return _attended(width, pixels, context, depth) if kind.startswith("CrossAttn") else 0.0

    total = 2.0 * (widths[0] * time + time**2) + _conv(channels, widths[0], side**2)
    total += 2.0 * (added * time + time**2) if added else 0.0
    inputs, skips = widths[0], [widths[0]]
    downwards = zip(widths, config["down_block_types"], depths, strict=True)
    for number, (width, kind, depth) in enumerate(downwards):
        for _ in range(layers):
            total += _residual(inputs, width, side**2, time)
            total += attended(kind, width, side**2, depth)
            inputs = width
            skips.append(width)
        if number < len(widths) - 1:
            side = -(-side // 2)
            total += _conv(width, width, side**2)
            skips.append(width)
    total += 2 * _residual(inputs, inputs, side**2, time)
    total += _attended(inputs, side**2, context, depths[-1])
    upwards = zip(reversed(widths), config["up_block_types"], reversed(depths), strict=True)
    for number, (width, kind, depth) in enumerate(upwards):
        for _ in range(layers + 1):
            total += _residual(inputs + skips.pop(), width, side**2, time)
            total += attended(kind, width, side**2, depth)
            inputs = width
        if number < len(widths) - 1:
            side *= 2
            total += _conv(width, width, side**2)
    return total + _conv(inputs, channels, side**2)


def mmdit_flops(config: Mapping, *, side: int) -> float:
    """Return the operations of one evaluation of an SD3Transformer2DModel on latents of `side`."""
    width = config["num_attention_heads"] * config["attention_head_dim"]
    patch, channels, layers = config["patch_size"], config["in_channels"], config["num_layers"]
    pixels, text = (side // patch) ** 2, TOKENS + T5_TOKENS
    total = (
        _conv(channels, width, pixels, patch) + 2.0 * text * config["joint_attention_dim"] * width
    )
    total += 2.0 * (256 * width + config["pooled_projection_dim"] * width + 2 * width**2)
    for layer in range(layers):
        last = layer == layers - 1  # whose text states nobody reads
        twice = layer in config.get("dual_attention_layers", ())
        total += 2.0 * width**2 * ((9 if twice else 6) + (2 if last else 6))  # modulations
        total += 6.0 * (pixels + text) * width**2 + 4.0 * (pixels + text) ** 2 * width
        total += 18.0 * (pixels + (0 if last else text)) * width**2
        total += 8.0 * pixels * width**2 + 4.0 * pixels**2 * width if twice else 0.0
    return total + 4.0 * width**2 + 2.0 * pixels * width * patch**2 * channels


def denoiser_flops(config: Mapping, *, side: int) -> float:
    """Return the operations of one evaluation of a UNet, or of a flow model's transformer."""
    return (mmdit_flops if "joint_attention_dim" in config else unet_flops)(config, side=side)


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
    """Return how often the network runs: PNDM without its warm-up makes one more than its steps."""
    return steps + 1 if scheduler == "pndm" else steps


def picture_side(denoiser: Mapping, vae: Mapping, resolution: int | None) -> int:
    """Return the pixels a side of a generated picture; `resolution` None: the generator's own."""
    return resolution or denoiser["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1)


def image_flops(
    denoiser: Mapping, vae: Mapping, *, resolution: int, evaluations: int, guidance: float
) -> float:
    """Return the operations of one image: the network's evaluations, and the VAE.

    Guidance doubles them; 1 is none, and a distilled network reads it as an input.
    """
    side = resolution // 2 ** (len(vae["block_out_channels"]) - 1)
    passes = 1 if guidance == 1 or denoiser.get("time_cond_proj_dim") is not None else 2
    each = denoiser_flops(denoiser, side=side)
    return evaluations * passes * each + vae_decoder_flops(vae, side=side)
