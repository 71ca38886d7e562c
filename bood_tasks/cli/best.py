"""`bood best`: the row and the score that validation outliers choose."""

from pathlib import Path

from bood_tasks.catalogue.metrics import METRICS
from bood_tasks.cli.listing import print_table
from bood_tasks.config.root import Config
from bood_tasks.plan.reporting import metrics, pixel_statistics
from bood_tasks.reporting.choice import BY, Candidate, candidates, points, sentences, tied
from bood_tasks.reporting.tables.frames import read_csv


def chosen(config: Config, *, by: str = "auroc", sets: list[str] = ()) -> list[Candidate]:
    """Return every row and score of a configuration's finished metrics, the best on validation
    first.

    Raises FileNotFoundError if they are not finished, ValueError if there is nothing to choose on.
    """
    spec = metrics(config, config.id, config.rows, pixels=pixel_statistics(config))
    if not Path(spec.manifest).is_file():
        raise FileNotFoundError(
            f"the metrics of this configuration are not finished ({spec.manifest} is not there); "
            "run the workflow with its --configfile (target: metrics), and name the same files here"
        )
    results = read_csv(Path(spec.manifest).with_name("metrics.csv"))
    return candidates(results, by=by, sets=sets)


def row_of(config: Config, candidate: Candidate) -> str:
    """Return the name of a candidate's row in the configuration."""
    method, variant, _ = candidate.label
    return next(
        name for name, row in config.rows.items() if (row.method, row.variant) == (method, variant)
    )


def show(config: Config, *, by: str, sets: list[str]) -> None:
    """Print the rows and scores in the order that validation gives them, and what it is worth."""
    found = chosen(config, by=by, sets=sets)
    same = {item.label for item in tied(found, by)}
    lines = [
        (
            str(place),
            row_of(config, item),
            item.label[2],
            *(points(item.validation[metric]) for metric in BY),
            "" if place > 1 and item.label not in same else "chosen" if place == 1 else "=",
        )
        for place, item in enumerate(found, 1)
    ]
    heads = [f"{METRICS[metric].heading} on {', '.join(sets) or 'validation'}" for metric in BY]
    left = {"row": "left", "score": "left"}
    print_table(lines, {"": "right", **left, **dict.fromkeys(heads, "right"), " ": "left"})
    if same:
        print("=: cannot be told apart from the chosen one by these seeds\n")
    print("\n".join(sentences(found, by)))
    row, score = row_of(config, found[0]), found[0].label[2]
    print(f"\ntake it: --row {row} --score {score} (what --best stands for in bood score)")
