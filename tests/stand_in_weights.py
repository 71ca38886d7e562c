"""Tiny untrained weights in the layouts of released ones: of their names and kinds.

Libraries are imported where asked for: test modules that name the writers load none.
"""

import json
from pathlib import Path

EMBEDDING = 768  # SD v1.4's: how many steps cross a boundary depends on it


def write_stable_diffusion(folder: Path, words: list[str]) -> None:
    """Write SD v1.4's components at a width of 16, its VAE's factor of 8 and its D of 768.

    The vocabulary is CLIP's kind, of `words` and the prompt; anchors have a norm near .39.
    """
    import torch
    from diffusers import (
        AutoencoderKL,
        PNDMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel

    from bood_tasks.generators.text_to_image.tiny_sd import build_tokenizer, save_pipeline

    torch.manual_seed(0)
    tokenizer = build_tokenizer(words, folder / "vocabulary")
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=EMBEDDING, projection_dim=EMBEDDING,
            intermediate_size=64, num_hidden_layers=1, num_attention_heads=12,
            max_position_embeddings=77, bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    with torch.no_grad():
        text_encoder.get_input_embeddings().weight.normal_(std=0.39 / EMBEDDING**0.5)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16), layers_per_block=1, norm_num_groups=8,
        latent_channels=4, sample_size=64,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), block_out_channels=(16, 16),
        cross_attention_dim=EMBEDDING, attention_head_dim=8, norm_num_groups=8,
    )  # fmt: skip
    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True,
        set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip
    pipe = StableDiffusionPipeline(
        vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    save_pipeline(pipe, folder)


def write_wide_resnet(path: Path, classes: int, *, depth: int = 40, width: int = 2) -> None:
    """Write a WideResNet's state dict, by pytorch-ood's names."""
    import torch

    from bood_tasks.networks.wide_resnet import WideResNet

    torch.manual_seed(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    network = WideResNet(depth=depth, width=width, dropout=0.3, outputs=classes)
    torch.save(network.state_dict(), path)


def write_vit(path: Path, classes: int) -> None:
    """Write timm's ViT-B/16, untrained, by timm's names."""
    import timm
    import torch

    torch.manual_seed(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    model = timm.create_model("vit_base_patch16_224", pretrained=False, num_classes=classes)
    torch.save(model.state_dict(), path)


def write_resnet101(path: Path, classes: int) -> None:
    """Write torchvision's ResNet-101, untrained, by torchvision's names."""
    import torch
    import torchvision

    torch.manual_seed(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(torchvision.models.resnet101(num_classes=classes).state_dict(), path)


def write_biggan(path: Path, classes: int) -> None:
    """Write a BigGAN-PyTorch G_ema.pth for 32 pixels, spectral norm's buffers among its weights."""
    import torch

    from bood_tasks.generators.biggan.biggan import Generator, Shape

    torch.manual_seed(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = Shape(resolution=32, channels=4, latent=16, classes=classes)
    state = {}
    for name, value in Generator(shape).state_dict().items():
        state[name] = value.clone()
        if value.ndim > 1 and ".bn" not in name:
            u, s, _ = torch.linalg.svd(value.flatten(1), full_matrices=False)
            state[name.replace(".weight", ".u0")] = u[:, :1].T.contiguous()
            state[name.replace(".weight", ".sv0")] = s[:1]
    torch.save(state, path)


def write_biggan_deep(folder: Path, classes: int) -> None:
    """Write a pytorch-pretrained-biggan folder for 32 pixels: config.json, pytorch_model.bin."""
    import torch

    from bood_tasks.generators.biggan.biggan_deep import DeepGenerator, DeepShape

    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    layers = ((True, 16, 4), (False, 4, 4), (True, 4, 2), (True, 2, 1))
    shape = DeepShape(
        resolution=32, channels=16, latent=8, classes=classes, attention=1, eps=1e-4, layers=layers
    )
    state = {}
    for name, value in DeepGenerator(shape).state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            state[f"{name}s"] = value.expand(51, -1).clone()  # a row for each truncation
        elif value.ndim > 1 and name != "embeddings.weight":
            u, _, v = torch.linalg.svd(value.flatten(1), full_matrices=False)
            state |= {f"{name}_orig": value, f"{name}_u": u[:, 0], f"{name}_v": v[0]}
        else:
            state[name] = value
    torch.save({name: value.contiguous() for name, value in state.items()},
               folder / "pytorch_model.bin")  # fmt: skip
    facts = {
        "output_dim": 32, "z_dim": 8, "class_embed_dim": 8, "channel_width": 16, "n_stats": 51,
        "num_classes": classes, "layers": layers, "attention_layer_position": 1, "eps": 1e-4,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(facts))
