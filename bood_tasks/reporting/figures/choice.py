"""One rung of an automatic choice: its candidates in order, and which of them go on.

Reads the validation figures of this rung's candidates and what the rungs before have left; no test
set. Leaves choice.json (all rungs so far, what is chosen, and why, in sentences), choice.csv (every
candidate's figures), chosen.yaml (an overlay with the chosen row) and two figures.
"""

import csv
import statistics
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.catalogue.metrics import METRICS
from bood_tasks.catalogue.titles import setting_name
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.reporting.choice import BY, Candidate
from bood_tasks.reporting.figures import style
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.halving import Rung, label_of, ranked, sentences, survivors
from bood_tasks.reporting.tables.frames import read_metrics
from bood_tasks.scoring.scales import by_confidence, by_separation

VERSION = 3
FILE = "choice.json"  # plan/choice.py reads who goes on
STATISTICS = "outlier_statistics.json"
MEAN = "mean"  # of all kinds of validation outliers
FIXED = (style.BLUE, style.GREEN, style.PURPLE, style.ORANGE)  # candidates that no rung drops
BESIDE = 0.08  # of a rung: all its candidates side by side, lest bars hide bars


def _figures(label: str, rung: Rung) -> dict[str, dict[str, list[float]]]:
    """Return a candidate's figures, by kind of validation outliers and metric, seed by seed."""
    parts = {MEAN: rung.ordered, **rung.of_kind}
    found: dict[str, dict] = {}
    for kind, ordered in parts.items():
        one = next(item for item in ordered if label_of(item) == label)
        found[kind] = {
            metric: [value for _, value in sorted(one.validation[metric].items())] for metric in BY
        }
    return found


def _spread(seeds: Sequence[float]) -> float | None:
    return statistics.stdev(seeds) if len(seeds) > 1 else None


def described(rung: Rung, settings: Mapping, going_on: Sequence[str]) -> dict:
    """Return what choice.json says of a rung: its candidates, the best first."""
    known = {item["label"]: item for item in settings["candidates"]}
    return {
        "rung": settings["rung"],
        "share": settings["share"],
        "seeds": sorted(rung.ordered[0].validation[settings["by"]]),
        "candidates": [
            {
                "label": label,
                "settings": known[label]["settings"],
                "figures": _figures(label, rung),
                "goes_on": label in going_on,
            }
            for label in rung.labels()
        ],
    }


def overlay(settings: Mapping, label: str) -> dict:
    """Return the configuration that adds the chosen row beside the others."""
    row, found = settings["row"], next(x for x in settings["candidates"] if x["label"] == label)
    name = f"{row['name']}-chosen"
    whole = {
        "method": row["method"],
        "variant": "-".join(filter(None, (row["variant"], "chosen"))),
        "outliers": found["outliers"] or "none",
        "scores": row["scores"],
        "set": found["set"],
    }
    told: dict[str, Any] = {"rows": {name: whole}}
    if settings["only"]:
        told["only"] = {"rows": [*settings["only"], name]}
    return {"text": told} if settings["texts"] else told


def by_rules(job: Job) -> dict | None:
    """Return what the rules without training choose, and the statistics that they go by; None
    where they were not asked."""
    asked = job.settings.get("rules")
    if not asked:
        return None
    looked = [item.json(STATISTICS) for item in job.inputs["statistics"]]
    values, noise = asked["values"], looked[0]["confidence"]["noise"]
    unsure = {x: found["confidence"]["outliers"] for x, found in zip(values, looked, strict=True)}
    apart = {
        x: found["separation"]["outliers"]
        for x, found in zip(values, looked, strict=True)
        if "separation" in found
    }
    return {
        **asked,
        "noise": noise,
        "confidence": by_confidence(unsure, noise),
        "separation": by_separation(apart, asked["quantile"]),
        "statistics": {
            "confidence": [unsure[x] for x in values],
            "separation": [apart.get(x) for x in values],
        },
    }


def in_short(rules: Mapping, chosen: Mapping[str, Any]) -> str:
    """Say what the rules without training choose beside validation."""
    name = rules["setting"]

    def said(rule: str) -> str:
        return "none of the values" if rules[rule] is None else f"{rules[rule]:g}"

    return (
        f"Without training, {name} would be {said('confidence')} by confidence (the smallest at "
        f"which the classifier is as unsure of samples as of noise, {rules['noise']:.2f}) and "
        f"{said('separation')} by separation (the smallest at which a sample lies farther from ID "
        f"than held-out ID data with a chance of {rules['quantile']:g}); validation has "
        f"{chosen.get(name)}."
    )


def draw_rules(rules: Mapping) -> Figure:
    """Return a panel for each rule: its statistic at each value, its level and what it takes."""
    found = rules["statistics"]
    shown = [name for name in found if None not in found[name]]
    levels = {"confidence": rules["noise"], "separation": rules["quantile"]}
    figure, axes = style.panel_grid(len(shown), 2, width=3.6, height=2.8)
    for ax, name in zip(axes, shown, strict=True):
        places = range(len(rules["values"]))
        ax.plot(places, found[name], "o-", ms=3.5, color=style.BLACK)
        ax.axhline(levels[name], ls=":", lw=0.8, color=style.GREY)
        if rules[name] is not None:
            ax.axvline(rules["values"].index(rules[name]), lw=1.2, color=style.VERMILION)
        ax.set_xticks(places, [f"{x:g}" for x in rules["values"]])
        ax.set(title=name, xlabel=setting_name(rules["setting"]))
    return figure


def _write_csv(path, rungs: Sequence[Mapping], names: Sequence[str]) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        heads = ("rung", "share", "place", "candidate", "goes_on", *names)
        writer.writerow([*heads, "validation", "metric", "mean", "std", "seeds"])
        for rung in rungs:
            for place, item in enumerate(rung["candidates"], 1):
                known = (rung["rung"], f"{rung['share']:.6g}", place, item["label"])
                values = [_cell(item["settings"].get(name)) for name in names]
                for kind, metrics in item["figures"].items():
                    for metric, seeds in metrics.items():
                        std = _spread(seeds)
                        writer.writerow(
                            [*known, int(item["goes_on"]), *values, kind, metric,
                             f"{statistics.fmean(seeds):.6g}", "" if std is None else f"{std:.6g}",
                             len(seeds)]
                        )  # fmt: skip
                        count += 1
    return count


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return "+".join(f"{name}:{share:g}" for name, share in value.items())
    return "" if value is None else str(value)


def _points(rung: Mapping, name: str, own: Any, by: str) -> dict[str, list[float]]:
    """Return the candidates' figures, in percent, at each value of a setting."""
    found: dict[str, list[float]] = {}
    for item in rung["candidates"]:
        if item["label"] and not item["settings"]:
            continue  # a reference: its settings are others
        value = item["settings"].get(name, own)
        found.setdefault(_cell(value), []).append(100 * statistics.fmean(item["figures"][MEAN][by]))
    return found


def draw_settings(rungs: Sequence[Mapping], settings: Mapping) -> Figure:
    """Return a panel for each setting: every candidate at its value, and the mean with its spread
    over the other settings, of the first rung and the last."""
    by, own = settings["by"], settings["own"]
    figure, axes = style.panel_grid(len(own), 3, width=3.3, height=2.8)
    shown = {0: (style.GREY, "o"), len(rungs) - 1: (style.VERMILION, "D")}
    for ax, (name, value) in zip(axes, own.items(), strict=True):
        values = {_cell(x["settings"].get(name, value)) for x in rungs[0]["candidates"]}
        order = sorted(values, key=_number)
        for number, (color, marker) in shown.items():
            rung = rungs[number]
            found = _points(rung, name, value, by)
            places = [order.index(text) for text in found]
            for place, figures in zip(places, found.values(), strict=True):
                ax.plot([place] * len(figures), figures, marker, ms=3, mfc="none", color=color)
            rising = np.argsort(places)
            means, spreads = (
                np.array([f(figures) for figures in found.values()]) for f in (np.mean, np.std)
            )
            ax.errorbar(
                np.array(places)[rising], means[rising], spreads[rising], color=color, lw=1,
                label=f"rung {number + 1}, {rung['share']:.0%} of the training",
            )  # fmt: skip
        ax.set_xticks(range(len(order)), order)
        ax.set(title=setting_name(name), ylabel=f"{METRICS[by].heading}, %")
    axes[0].legend(loc="best", fontsize=7)
    return figure


def _number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return np.inf, text


def fixed_looks(fixed: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each candidate that no rung drops."""
    return dict(zip(fixed, cycle(zip(FIXED, style.MARKERS[1:], strict=False))))


def draw_rungs(rungs: Sequence[Mapping], settings: Mapping, chosen: str) -> Figure:
    """Return every candidate's way through the rungs, with the spread over seeds where there are
    several."""
    by = settings["by"]
    figure, (ax,) = style.panel_grid(1, 1, width=4.8, height=3.4)
    own = fixed_looks(settings["fixed"])
    candidates = rungs[0]["candidates"]
    for item, aside in zip(
        candidates, BESIDE * np.linspace(-0.5, 0.5, len(candidates)), strict=True
    ):
        label = item["label"]
        way = [
            (number, x["figures"][MEAN][by])
            for number, rung in enumerate(rungs)
            for x in rung["candidates"]
            if x["label"] == label
        ]
        x, seeds = zip(*way, strict=True)
        y = [100 * statistics.fmean(one) for one in seeds]
        dy = [100 * (_spread(one) or 0) for one in seeds]
        look: dict[str, Any] = {"color": style.GREY, "marker": "o", "lw": 0.6, "ms": 2.5}
        if label in own:
            colour, marker = own[label]
            look = {"color": colour, "marker": marker, "lw": 1.2, "ms": 4, "zorder": 2}
            look["label"] = label or "as it is"
        if label == chosen:
            told = f"{look['label']}, chosen" if label in own else "chosen"
            look |= {"color": style.VERMILION, "lw": 1.8, "zorder": 3, "label": told}
        ax.errorbar(np.add(x, aside), y, dy, **look)
    ticks = [f"{rung['share']:.0%}" for rung in rungs]
    ax.set_xticks(range(len(rungs)), ticks)
    ax.set(xlabel="share of the training", ylabel=f"{METRICS[by].heading} on validation, %")
    figure.legend(loc="outside upper center", ncols=3, fontsize=8)
    return figure


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    settings = job.settings
    by, sets = settings["by"], dict(settings["sets"])
    results = pd.concat(map(read_metrics, job.inputs["metrics"]), ignore_index=True)
    rung = ranked(results, sets, by)
    going_on = survivors(rung.labels(), settings["fixed"], settings["going_on"])
    before = job.inputs["before"].json(FILE)["rungs"] if "before" in job.inputs else []
    rungs = [*before, described(rung, settings, going_on)]
    first: Candidate = rung.ordered[0]
    chosen = label_of(first)
    found = next(x for x in settings["candidates"] if x["label"] == chosen)
    rules = by_rules(job)
    told = sentences(rungs, rung, settings)
    if rules:
        told.append(in_short(rules, found["settings"] or settings["own"]))
    print(*told, sep="\n")
    with job.draft() as draft, style.house_style():
        write_json(
            draft.folder / FILE,
            {
                "row": settings["row"]["name"],
                "by": by,
                "score": settings["score"],
                "chosen": chosen,
                "settings": found["settings"] or settings["own"],
                "alone": {kind: label_of(items[0]) for kind, items in rung.of_kind.items()},
                "going_on": going_on,
                "rules": rules,
                "rungs": rungs,
                "sentences": told,
            },
        )
        head = [f"# {line}" for line in told]
        text = yaml.safe_dump(overlay(settings, chosen), sort_keys=False, allow_unicode=True)
        (draft.folder / "chosen.yaml").write_text(
            "\n".join([*head, "# Lay it over the configuration that it was chosen in.", text]),
            encoding="utf-8",
        )
        rows = _write_csv(draft.folder / "choice.csv", rungs, list(settings["own"]))
        album = Album(draft.folder)
        album.add("choice", draw_settings(rungs, settings), "What validation says of each setting",
                  " ".join(told) + " Each point is a candidate; lines are their means with one "
                  "deviation over the other settings.")  # fmt: skip
        album.add("rungs", draw_rungs(rungs, settings, chosen), "The candidates, rung by rung",
                  "Bars: one deviation over seeds, where a rung has several.")  # fmt: skip
        if rules:
            album.add("rules", draw_rules(rules), "The rules that train nothing",
                      "Dotted: the level that must be reached; the line: the smallest value that "
                      "reaches it.")  # fmt: skip
        draft.finish(rows={"candidates": len(settings["candidates"]), "choice": rows,
                           "figures": album.finish()})  # fmt: skip
