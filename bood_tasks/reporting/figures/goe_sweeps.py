"""GOE's figures 2, 3 and 5: what one setting of the outliers does, with 95 % intervals over seeds.

Leaves a figure for each setting and curves.csv: mean and interval of every figure at every point.
"""

import csv
from collections.abc import Iterable, Mapping

import numpy as np

from bood_tasks.catalogue.titles import row_name, score_name
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.figures import curves as plots_goe
from bood_tasks.reporting.figures import style
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.figures.curves import Curve, interval
from bood_tasks.scoring.metrics import read_rows

VERSION = 2
SYMBOLS = {
    "gan_images.scale": "scale σ of the latents",
    "gan_images.count": "number of outliers",
    "texts.temperature": "temperature T",
}
METRICS = {"AUROC": ("auroc", ""), "FPR95": ("fpr95", "ood")}
KEYS = ("method", "variant", "score", "metric", "convention")
Label = tuple[str, str, str, str, str]
COLUMNS = ("setting", "value", "score", "metric", "mean", "low", "high", "n_seeds")


def averages(rows: Iterable[Mapping]) -> dict[Label, list[float]]:
    """Return, for each row, score, metric and convention, the mean over the test sets of each
    seed."""
    found: dict[Label, dict[int, list[float]]] = {}
    for row in rows:
        if row["split"] == "test" and row["ood_dataset"]:
            label = tuple(row[key] for key in KEYS)
            found.setdefault(label, {}).setdefault(row["seed"], []).append(row["value"])
    return {
        label: [float(np.mean(values)) for values in by_seed.values()]
        for label, by_seed in found.items()
    }


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings = job.settings
    found = averages(read_rows(job.inputs["metrics"].folder / "metrics.csv"))
    method, baseline = settings["method"], settings["baseline"]
    scores = list(dict.fromkeys(label[2] for label in found if label[0] == method))
    floors: dict[str, dict[str, float]] = {metric: {} for metric in METRICS}
    against = ""
    if baseline:
        against = row_name(baseline["method"], baseline["variant"])
        for metric, place in METRICS.items():
            for score in scores:
                label = (baseline["method"], baseline["variant"], score, *place)
                if label in found:
                    floors[metric][score_name(score)] = interval(found[label])[0]
    table, seeds = [], settings["notes"]["seeds"]
    with job.draft() as draft, style.house_style():
        album = Album(draft.folder)
        for setting, points in settings["sweeps"].items():
            values = np.array([value for value, _ in points], float)
            panels: dict[str, dict[str, Curve]] = {metric: {} for metric in METRICS}
            for metric, place in METRICS.items():
                for score in scores:
                    each = [found[method, variant, score, *place] for _, variant in points]
                    ends = [interval(runs) for runs in each]
                    panels[metric][score_name(score)] = Curve(values, np.array(ends))
                    table += [
                        (setting, value, score, metric, *triple, len(runs))
                        for (value, _), triple, runs in zip(points, ends, each, strict=True)
                    ]
            symbol = SYMBOLS.get(setting, setting)
            name = settings["figures"].get(setting, f"sweep_{setting.replace('.', '_')}")
            figure = plots_goe.curves(
                panels, symbol=symbol, floors=floors, against=against,
                default=settings["defaults"][setting],
            )  # fmt: skip
            album.add(
                f"goe_{name}",
                figure,
                f"Effect of the {symbol}",
                f"{row_name(method, '')}: averages over the test sets, FPR95 with OOD positive; "
                f"bands: 95 % intervals of the mean over {len(seeds)} seeds (Student's t).",
                formats=["png", "svg"],
            )
        with (draft.folder / "curves.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(table)
        draft.finish(rows={"figures": album.finish()})
