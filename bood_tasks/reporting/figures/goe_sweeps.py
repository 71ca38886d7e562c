"""GOE's figures 2 and 3: what one setting of the outliers does, with 95 % intervals over seeds.

Leaves a figure for each setting and curves.csv: mean and interval of every value at every point.
"""

import csv

import numpy as np
import pandas as pd

from bood_tasks.catalogue.metrics import IN_GOE_CURVES, titled
from bood_tasks.catalogue.titles import row_name, score_name, setting_name
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.figures import curves, style
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.figures.curves import Curve, interval
from bood_tasks.reporting.tables.frames import read_metrics
from bood_tasks.reporting.tables.summary import average_over_sets

VERSION = 4
METRICS = titled(IN_GOE_CURVES)
KEYS = ["method", "variant", "score", "metric", "convention"]
COLUMNS = ("setting", "value", "score", "metric", "mean", "low", "high", "n_seeds")


def averages(results: pd.DataFrame) -> dict[tuple, list[float]]:
    """Return the average over the test sets of each seed, by KEYS."""
    found = average_over_sets(results).groupby(KEYS, sort=False)["value"]
    return {key: values.tolist() for key, values in found}


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings = job.settings
    found = averages(read_metrics(job.inputs["metrics"]))
    method, baseline = settings["method"], settings["baseline"]
    scores = list(dict.fromkeys(label[2] for label in found if label[0] == method))
    floors: dict[str, dict[str, float]] = {metric: {} for metric in METRICS}
    against = ""
    if baseline:
        against = row_name(baseline["method"], baseline["variant"])
        for metric, which in METRICS.items():
            for score in scores:
                label = (baseline["method"], baseline["variant"], score, *which)
                if label in found:
                    floors[metric][score_name(score)] = interval(found[label])[0]
    table, seeds = [], settings["notes"]["seeds"]
    with job.draft() as draft, style.house_style():
        album = Album(draft.folder)
        for setting, points in settings["sweeps"].items():
            values = np.array([value for value, _ in points], float)
            panels: dict[str, dict[str, Curve]] = {metric: {} for metric in METRICS}
            for metric, which in METRICS.items():
                for score in scores:
                    each = [found[method, variant, score, *which] for _, variant in points]
                    ends = [interval(runs) for runs in each]
                    panels[metric][score_name(score)] = Curve(values, np.array(ends))
                    table += [
                        (setting, value, score, metric, *triple, len(runs))
                        for (value, _), triple, runs in zip(points, ends, each, strict=True)
                    ]
            symbol = setting_name(setting)
            name = settings["figures"].get(setting, f"sweep_{setting.replace('.', '_')}")
            figure = curves.over_setting(
                panels, symbol=symbol, floors=floors, against=against,
                default=settings["defaults"][setting],
            )  # fmt: skip
            album.add(
                f"goe_{name}",
                figure,
                f"Effect of the {symbol}",
                f"{row_name(method, '')}: averages over the test sets, FPR95 with OOD positive; "
                f"bands: 95 % intervals of the mean over {len(seeds)} seeds (Student's t).",
            )
        with (draft.folder / "curves.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(table)
        draft.finish(rows={"figures": album.finish()})
