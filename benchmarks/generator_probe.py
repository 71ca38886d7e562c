"""What does the generator make of vectors on, between and off the class anchors?

Decodes anchors, midpoints of two anchors, and anchors plus noise of several relative norms, at
several guidances, and prints the median largest softmax of a small ID classifier on each; times
decoding; writes contact sheets. All vectors are scaled back to the anchor norm, as BOOD does.

    PYTHONPATH=. python benchmarks/generator_probe.py PIPELINE_FOLDER FASHION_NPZ OUT_FOLDER
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from bood_tasks.artifacts.store import Artifact
from bood_tasks.generators.drawn_world import world
from bood_tasks.generators.text_to_image.diffusion import (
    decode,
    encode_prompt,
    latent_shape,
    load_pipeline,
)

PROMPT = "A high-quality image of the {class}"
WORDS = {"tshirt": 0, "trouser": 1, "pullover": 2, "coat": 4}
WORDS |= {"sandal": 5, "sneaker": 7, "bag": 8, "boot": 9}
HELD_OUT = 200  # the last of the 1,800 rows of each class are the validation split


def train_classifier(x: torch.Tensor, y: torch.Tensor) -> nn.Module:
    """A small convolutional network on the ID classes, three epochs."""
    torch.manual_seed(0)
    layers = []
    for c_in, c_out in ((1, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(c_in, c_out, 3, 2, 1), nn.BatchNorm2d(c_out), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, len(WORDS)))
    adam = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(3):
        for rows in torch.randperm(len(x)).split(64):
            adam.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            adam.step()
    return net.eval()


def scale_to(vectors: torch.Tensor, norm: float) -> torch.Tensor:
    return F.normalize(vectors) * norm


def contact_sheet(images: torch.Tensor, columns: int, path: Path) -> None:
    """Images [n, 32, 32, 3] in rows of `columns`, doubled."""
    rows = images.reshape(-1, columns, 32, 32, 3)
    sheet = F.pad(rows, (0, 0, 1, 1, 1, 1), value=90).permute(0, 2, 1, 3, 4)
    Image.fromarray(sheet.reshape(len(rows) * 34, columns * 34, 3).numpy()).resize(
        (columns * 68, len(rows) * 68), 0
    ).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of a generator's pipeline")
    parser.add_argument("data", type=Path, help="Fashion-MNIST as an npz file")
    parser.add_argument("out", type=Path, help="folder for the contact sheets")
    parser.add_argument(
        "--ood-features", type=Path,
        help="an ood_features manifest made with the same generator; probe its vectors too",
    )  # fmt: skip
    parser.add_argument("--count", type=int, default=80, help="images of each kind, 16 a row")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--per-class", type=int, default=1600, help="pictures to train on")
    options = parser.parse_args()
    folder, out, count = options.folder, options.out, options.count
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    pipe = load_pipeline(folder)
    table = pipe.text_encoder.get_input_embeddings().weight
    ids = {word: pipe.tokenizer(word).input_ids[1] for word in [*WORDS, *world.WORDS]}
    everything = F.normalize(table[list(ids.values())])
    cosines = (everything @ everything.T).fill_diagonal_(0).abs()
    anchors = table[[ids[word] for word in WORDS]]
    norm = anchors.norm(dim=1).mean().item()

    file = np.load(options.data)
    rows = {
        label: np.flatnonzero(file["y_train"] == old) for label, old in enumerate(WORDS.values())
    }
    pictures = torch.from_numpy(np.pad(file["x_train"], ((0, 0), (2, 2), (2, 2)))).float()[:, None]

    def split(part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        own = [(r[part], label) for label, r in rows.items()]
        labels = torch.cat([torch.full((len(r),), label) for r, label in own])
        return pictures[np.concatenate([r for r, _ in own])] / 255, labels

    classifier = train_classifier(*split(slice(options.per_class)))
    x, y = split(slice(-HELD_OUT, None))
    with torch.no_grad():
        valid = classifier(x).softmax(1)
    uncond = encode_prompt(pipe, "", None)
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(count, *latent_shape(pipe), generator=random)
    which = torch.arange(count) % len(WORDS)
    off = F.normalize(torch.randn(count, anchors.shape[1], generator=random)) * norm
    probes = {
        "anchor": anchors[which],
        "midpoint of two anchors": scale_to(
            anchors[which] + anchors[(which + 1 + which % 3) % 8], norm
        ),
        "anchor + 0.5 noise": scale_to(anchors[which] + 0.5 * off, norm),
        "anchor + 1 noise": scale_to(anchors[which] + off, norm),
        "anchor + 2 noise": scale_to(anchors[which] + 2 * off, norm),
        "random direction": off,
    }
    if options.ood_features:
        vectors = torch.from_numpy(Artifact(options.ood_features)["vectors"][:]).float()
        probes["outlier vectors"] = vectors[torch.randperm(len(vectors), generator=random)[:count]]
    record = {
        "folder_bytes": sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()),
        "max_abs_cosine": round(cosines.max().item(), 4),
        "mean_anchor_norm": round(norm, 4),
        "classifier_accuracy": round((valid.argmax(1) == y).float().mean().item(), 4),
        "real_validation": round(valid.amax(1).median().item(), 3),
        "median_confidence": {},
        "share_above_095": {},
        "nearest_anchor_cosine": {},
    }
    for name, vectors in probes.items():
        cosine = (F.normalize(vectors) @ F.normalize(anchors).T).amax(1).median().item()
        record["nearest_anchor_cosine"][name] = round(cosine, 3)
    for guidance in (1.0, 3.0, 7.5):
        for name, vectors in probes.items():
            cond = encode_prompt(pipe, PROMPT, vectors)
            start = time.perf_counter()
            images = decode(pipe, cond, uncond, noise, steps=options.steps, guidance=guidance)
            seconds = time.perf_counter() - start
            grey = images.float().mean(3)[:, None] / 255
            with torch.no_grad():
                softmax = classifier(grey).softmax(1)
            key = f"{name}, guidance {guidance:g}"
            record["median_confidence"][key] = round(softmax.amax(1).median().item(), 3)
            share = (softmax.amax(1) > 0.95).float().mean().item()
            record["share_above_095"][key] = round(share, 3)
            if name == "anchor":
                record[f"anchor_accuracy_{guidance:g}"] = round(
                    (softmax.argmax(1) == which).float().mean().item(), 3
                )
            record[f"ms_per_image_guidance_{guidance:g}"] = round(1000 * seconds / count, 1)
            contact_sheet(images, 16, out / f"{name.replace(' ', '-')}-g{guidance:g}.png")
    sample = list(world.WORDS)[::2]
    cond = encode_prompt(
        pipe, PROMPT, table[[ids[word] for word in sample]].repeat_interleave(3, 0)
    )
    noise = torch.randn(len(cond), *latent_shape(pipe), generator=random)
    images = decode(pipe, cond, uncond, noise, steps=options.steps, guidance=3.0)
    contact_sheet(torch.cat([images, images[: -len(images) % 24]]), 24, out / "world-g3.png")
    real = torch.from_numpy(np.repeat(file["x_train"][:48, :, :, None], 3, 3))
    real = F.pad(real, (0, 0, 2, 2, 2, 2))
    with torch.no_grad():
        mean = pipe.vae.encode(real.permute(0, 3, 1, 2).float() / 127.5 - 1).latent_dist.mean
        back = (pipe.vae.decode(mean).sample / 2 + 0.5).clamp(0, 1).mul(255).byte()
    contact_sheet(torch.cat([real, back.permute(0, 2, 3, 1)]), 16, out / "autoencoder.png")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
