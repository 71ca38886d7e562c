"""Scores published networks on real pictures, as they are or fine-tuned with outliers.

    python benchmarks/real_networks.py NETWORK PICTURES WEIGHTS OUT [--id N] [--ood N] [--train N]
        [--finetune SOURCE ... --outliers N --epochs N --seeds N ...]

NETWORK is a key of NETWORKS. PICTURES holds `cifar10/{train,test}/<class>/`, `cifar100/` alike and
`ood/<set>/`, lossless, whose file names are numbers; WEIGHTS the published files. Of each folder
the pictures with the lowest numbers are taken: `--id` of the test part, `--ood` of each OOD set,
`--train` of the training part. With `--finetune` there is a row for each SOURCE of outliers, a key
of SOURCES, all by Outlier Exposure and with the same settings, beside the network as it is. Writes
OUT/config.yaml, runs Snakemake in OUT on one core and prints AUROC and FPR95 of each score and set;
the last line is JSON. The networks are those of docs/examples, written as a user would.
"""

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml

from bood_tasks.config.fields import merged

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs/examples"
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
CIFAR = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2023, 0.1994, 0.2010]}
NETWORKS = {  # file and function, the scaling that it was trained with, its weights, its data
    "resnet20": ("cifar_resnet.py:resnet20", IMAGENET, "cifar10_resnet20-12fca82f.th", "cifar10"),
    "resnet56": ("cifar_resnet.py:resnet56", IMAGENET, "cifar10_resnet56-4bfd9763.th", "cifar10"),
    "densenet10": (
        "densenet_bc.py:densenet100", CIFAR, "cifar10_densenetbc100_dice.pth.tar", "cifar10"
    ),
    "densenet100": (
        "densenet_bc.py:densenet100", CIFAR, "cifar100_densenetbc100_dice.pth.tar", "cifar100"
    ),
}  # fmt: skip
SETS = {  # name here: folder; the default configuration has a set called textures
    "svhn": "svhn", "places": "places_resize", "tin-resize": "tinyimagenet_resize",
    "tin-crop": "tinyimagenet_crop", "dtd": "textures", "mnist": "mnist",
}  # fmt: skip
SOURCES = {  # of outliers: what a row names
    "none": "none",  # trained on without any
    "noise": "noise",
    "natural": "natural",
    "shipped-gan": "gan",  # it knows grey garments
    "gan": "id-gan",  # trained for 300 steps on the ID training part
    "bood": "images",  # of `--generator`, which knows the ID classes' words, or of the shipped one
}
STAND_INS = ROOT / "workflow/presets/cifar10-laptop-helpful.yaml"  # words for those of CIFAR-10
ID_GAN = {
    "source": "train", "path": None,
    "train": {"channels": 8, "latent": 32, "shared": 16, "attention": 0, "steps": 300,
              "batch_size": 32, "d_steps": 1},
}  # fmt: skip
SCORES = ("msp", "energy", "react", "dice", "vim", "knn", "mahalanobis")


def first(source: Path, out: Path, count: int) -> None:
    """Copy the files with the `count` lowest numbers of all below a folder, in their folders."""
    files = sorted((path for path in source.rglob("*") if path.is_file()), key=lambda x: x.stem)
    for path in files[:count]:
        place = out / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def configuration(given: argparse.Namespace) -> dict:
    """Return the run's settings; the pictures are copied to where they point."""
    code, scaling, weights, name = NETWORKS[given.network]
    for part, count in (("train", given.train), ("test", given.id)):
        first(given.pictures / name / part, given.out / "pictures/id" / part, count)
    other = "cifar100" if name == "cifar10" else "cifar10"
    sources = {item: given.pictures / "ood" / SETS[item] for item in given.sets if item in SETS}
    if other in given.sets:
        sources[other] = given.pictures / other / "test"
    for item, source in sources.items():
        first(source, given.out / "pictures" / item, given.ood)
    folders = {item: {"kind": "folder", "path": f"pictures/{item}"} for item in sources}
    return {
        "id": "id", "test": list(sources), "validation": [], "control": [], "seeds": [0],
        "datasets": {
            "id": {"kind": "folder", "path": "pictures/id", "validation": given.held_out},
            **folders,
        },
        "image": {"size": 32, "fit": "resize", "crop": None, "whole": False},
        "rows": {"as-it-is": {"method": "ce", "scores": given.scores}},
        "only": {"rows": ["as-it-is"], "variants": [], "sweeps": []},
        "detector": {
            "network": {"python": f"{EXAMPLES}/{code}", **scaling},
            "pretrained": str((given.weights / weights).resolve()), "epochs": 0,
        },
        "scoring": {"mahalanobis": {"magnitudes": [0.0]}},
        # A DenseNet's maps stay in the cache: 60 pictures/s of one core in place of 30 with 250.
        "run": {"inference_batch": 16},
    }  # fmt: skip


def finetuned(given: argparse.Namespace) -> dict:
    """Return what fine-tuning adds to the settings; natural outliers are copied."""
    train = {
        "detector": {
            "epochs": given.epochs, "lr": 0.005, "batch_size": 64, "batch_norm": given.batch_norm,
        }
    }  # fmt: skip
    rows = {
        name: {
            "method": "ce" if name == "none" else "oe", "variant": name,
            "outliers": SOURCES[name], "scores": given.scores, "set": train,
        }
        for name in given.finetune
    }  # fmt: skip
    natural = given.pictures / "ood/outliers_tinyimagenet"
    if natural.is_dir():
        first(natural, given.out / "pictures/outliers", given.outliers)
    count = {"count": given.outliers, "shard": given.outliers}
    more = {
        "seeds": given.seeds,
        "datasets": {
            "noise": {"kind": "noise", "count": given.outliers},
            "natural": {"kind": "folder", "path": "pictures/outliers"},
        },
        "sources": {"id-gan": {"of": "gan", "set": {"gan_generator": ID_GAN}}},
        "gan_images": {"scale": 50, "statistics": "standing", **count},
        "rows": rows,
        "only": {"rows": ["as-it-is", *rows]},
        "detector": {"outlier_exposure": {"weighting": "balanced"}},
        "encoder": {"width": 16, "epochs": 8, "batch_size": 64, "lr": 0.05, "temperature": 0.1},
        "images": {"per_class": given.outliers // 10, "shard": 150, "guidance": 3, "steps": 20},
    }  # fmt: skip
    if "bood" in given.finetune and not given.generator:
        more["anchors"] = yaml.safe_load(STAND_INS.read_text(encoding="utf-8"))["anchors"]
    return more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--id", type=int, default=10_000)
    parser.add_argument("--ood", type=int, default=2000)
    parser.add_argument("--train", type=int, default=5000)
    parser.add_argument("--held-out", type=float, default=0.1, help="share of the training part")
    parser.add_argument("--sets", nargs="*", default=[*SETS, "cifar100"])
    parser.add_argument("--scores", nargs="*", default=list(SCORES))
    parser.add_argument("--finetune", nargs="*", choices=SOURCES, default=[])
    parser.add_argument("--outliers", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-norm", choices=("moving", "kept"), default="kept")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--generator", type=Path, help="diffusers folder that decodes for `bood`")
    given = parser.parse_args()
    if "bood" in given.finetune and not given.generator and given.network == "densenet100":
        parser.error(
            "--finetune bood needs --generator for CIFAR-100: no words stand in for its own"
        )
    given.out.mkdir(parents=True, exist_ok=True)
    config = given.out / "config.yaml"
    settings = configuration(given)
    if given.finetune:
        settings = merged(settings, finetuned(given))
    if given.generator:
        settings["generator"] = {"source": "local", "path": str(given.generator.resolve())}
    config.write_text(yaml.safe_dump(settings))
    began = time.time()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--configfile", "config.yaml",
         "--cores", "1", "metrics"],
        cwd=given.out, env=environment, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.returncode)
    found: dict[str, dict[str, dict[str, list[float]]]] = {}  # by row and score, set, metric
    with (given.out / "results/metrics.csv").open(newline="") as handle:
        for row in csv.DictReader(handle):
            if row["split"] != "test" or row["convention"] == "ood":
                continue
            label = " ".join(filter(None, (row["variant"], row["score"]))) or "-"
            name = row["ood_dataset"] or row["id_dataset"]
            metrics = found.setdefault(label, {}).setdefault(name, {})
            metrics.setdefault(row["metric"], []).append(float(row["value"]))
    for label, sets in found.items():
        for name, values in sets.items():
            means = ((key, statistics.fmean(of)) for key, of in sorted(values.items()))
            print(f"{label:20} {name:20} " + "  ".join(f"{key} {of:.4f}" for key, of in means))
    said = {"network": given.network, "id": given.id, "ood": given.ood, "train": given.train}
    print(json.dumps({**said, "seconds": round(time.time() - began), "found": found}))


if __name__ == "__main__":
    main()
