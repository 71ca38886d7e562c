"""Write a commented config.yaml for pictures or texts of your own."""

import argparse
from pathlib import Path

EXAMPLES = [
    "bood init",
    "bood init --images photos --ood strange",
    "bood init --images photos --classifier torchvision:resnet18 --weights mine.pt",
    "bood init --images photos --outliers noise gan",
    "bood init --texts mails",
    "bood init --profile slurm",
]


def arguments(command: argparse.ArgumentParser) -> None:
    what = command.add_mutually_exclusive_group()
    what.add_argument(
        "--images",
        metavar="DIR",
        help="folder of your pictures, one sub-folder a class; without it and --texts `pictures`, "
        "which you make",
    )
    what.add_argument("--texts", metavar="DIR", help="folder of your texts, one sub-folder a class")
    command.add_argument(
        "--ood", metavar="DIR", help="folder of pictures or texts that are none of the classes"
    )
    command.add_argument(
        "--classifier",
        metavar="SOURCE:NAME",
        help="architecture of the classifier, of timm, torchvision, openood, transformers (a "
        "folder), python (file.py:build) or onnx (a file), as timm:resnet18",
    )
    command.add_argument(
        "--weights", metavar="FILE", help="with --classifier: its weights, taken as they are"
    )
    command.add_argument(
        "--outliers",
        nargs="+",
        default=[],
        metavar="KIND",
        help="rows that train the classifier on with outliers of each kind: noise, gan (of the "
        "BigGAN that ships), or a folder of pictures; `bood best` chooses among them",
    )
    command.add_argument(
        "--profile",
        metavar="NAME",
        help="write a copy of a profile of the package into profiles/ instead: slurm, default",
    )


def run(arguments: argparse.Namespace) -> None:
    from bood_tasks.cli import init

    for option in ("images", "texts", "ood", "weights"):
        given = getattr(arguments, option)
        if given is not None and not Path(given).exists():
            raise FileNotFoundError(f"--{option} {given} is not there")
    for kind in arguments.outliers:
        if kind not in init.KINDS and not Path(kind).is_dir():
            raise FileNotFoundError(
                f"--outliers must be {', '.join(init.KINDS)} or a folder, got {kind!r}"
            )
    if arguments.profile:
        path, text = init.profile(arguments.profile)
        then = f"bood run --workflow-profile {arguments.profile}"
    else:
        path, text = init.configuration(
            images=arguments.images,
            texts=arguments.texts,
            ood=arguments.ood,
            classifier=arguments.classifier,
            weights=arguments.weights,
            outliers=arguments.outliers,
        )
        then = "bood run -n   # what would be made; `bood run` makes it"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ValueError(
            f"{path} is here already and stays as it is; rename or remove it"
        ) from None
    print(f"{path} is written; read it, then:\n  {then}")
