"""Compute the metrics of somebody else's scores of every sample, beside this run's."""

import argparse
import sys
from pathlib import Path

from bood_tasks.catalogue.products import RESULTS

EXAMPLES = [
    "bood judge-scores results/theirs/s0/scores --name Theirs --id cifar10 --near cifar100 tin "
    "--far mnist svhn texture places365",
]


def arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "folder",
        type=Path,
        help="folder of .npz files, one a data set: pred, conf and label as OpenOOD's evaluator "
        "saves them, or scores and y as pytorch-ood has them (the sign is turned)",
    )
    command.add_argument("--name", default="imported", help="what the method is called")
    command.add_argument(
        "--id", help="file of the ID data set; without it the only one whose labels are from 0 on"
    )
    for group in ("near", "far"):
        command.add_argument(
            f"--{group}", nargs="+", default=[], metavar="SET", help=f"{group} OOD sets, averaged"
        )
    command.add_argument(
        "--aupr",
        choices=("trapezoid", "step"),
        default="trapezoid",
        help="rule of the area under precision over recall, as `metrics.aupr`",
    )
    command.add_argument(
        "--out", type=Path, help="CSV file of the figures, in the columns of metrics.csv"
    )
    command.add_argument(
        "--results", type=Path, default=RESULTS, help="folder of the results that stand beside"
    )


def run(arguments: argparse.Namespace) -> None:
    from bood_tasks.deploy.exchange import judged, read_scores, table_lines, write_rows
    from bood_tasks.reporting.tables.frames import read_csv, records

    given = read_scores(arguments.folder)
    rows = list(judged(given, arguments.name, id_dataset=arguments.id, rule=arguments.aupr))
    file, ours = arguments.results / "tables/summary.csv", []
    if file.is_file():
        ours = [
            row for row in records(read_csv(file)) if row["id_dataset"] == rows[0]["id_dataset"]
        ]
    groups = {name: sets for name in ("near", "far") if (sets := getattr(arguments, name))}
    lines = table_lines(rows, groups, ours)
    accuracy = [row["value"] for row in rows if row["metric"] == "id_acc"]
    known = f", ID accuracy {100 * accuracy[0]:.2f}" if accuracy else ""
    print(f"{arguments.name}: ID {rows[0]['id_dataset']}, n = {rows[0]['n_id']:,}{known}; percent")
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    if any(cell.endswith("!") for line in lines for cell in line):
        print("!: of another number of samples, so not of the same test set", file=sys.stderr)
    if arguments.out:
        write_rows(rows, arguments.out)
        print(f"{arguments.out}: {len(rows)} figures", file=sys.stderr)
