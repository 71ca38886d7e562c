"""What an automatic choice is worth: the regret of what validation chose, on the test sets.

    PYTHONPATH=. python benchmarks/choice.py OUT --configfile workflow/presets/embedded-choice.yaml
    PYTHONPATH=. python benchmarks/choice.py OUT --tiny

A configuration with a `choice`: all its candidates, trained in full with every seed, are tested, in
a folder of its own (OUT/grid.yaml: rows and a choice of one rung), beside the choice as it is. Says
what has to run, with what it costs; --run CORES runs it. Then prints, for each way to choose
(successive halving; all candidates in full, by each kind of validation outliers; the rules without
training; the row as it is and the references, as a paper has them), the test figures, and how far
they fall short of the best in hindsight: FPR95 and AUROC, over test sets and seeds, with their
deviation over seeds. Writes regret.csv and regret.png (validation against test, with the rank
correlation) to OUT. The last line is JSON. --tiny makes figures up, and runs nothing.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pandas as pd
import yaml
from machine import machine
from scipy.stats import spearmanr

from bood_tasks.artifacts.spec import Spec
from bood_tasks.catalogue.metrics import METRICS
from bood_tasks.cli.look import look
from bood_tasks.config.candidates import Candidates, candidates
from bood_tasks.config.files import DEFAULT
from bood_tasks.config.load import effective_config
from bood_tasks.config.root import Config
from bood_tasks.plan import plan as planning
from bood_tasks.plan.choice import going_on
from bood_tasks.reporting.choice import BY
from bood_tasks.reporting.figures import style
from bood_tasks.reporting.figures.album import save_figure
from bood_tasks.reporting.figures.choice import fixed_looks

ROOT = Path(__file__).parents[1]
SIGN = {"auroc": 1, "fpr95": -1}
Figures = dict[str, dict[str, dict[int, float]]]  # candidate: metric: seed: value


def grid(found: Candidates) -> dict:
    """Return the overlay of the whole grid: a row a candidate, and a choice of one rung."""
    choice, config = found.choice, found.config
    needed, start = [choice.row], config.for_row(choice.row).detector.start
    while start:
        needed.append(start)
        start = config.for_row(start).detector.start
    if choice.rules and choice.rules.row not in needed:
        needed.append(choice.rules.row)
    labels = [*found.fixed[1:], *found.drawn]
    rows = {
        f"grid-{n}": {
            "method": item.row.method, "variant": label, "outliers": item.row.outliers or "none",
            "scores": [found.score], "set": item.row.set,
        }
        for n, label in enumerate(labels)
        for item in [found.every[label]]
    }  # fmt: skip
    return {
        "seeds": found.seeds,
        "choice": {"rungs": 1},
        "rows": rows,
        "only": {"rows": [*reversed(needed), *rows], "variants": [], "sweeps": []},
    }


def tested(results: pd.DataFrame, config: Config, found: Candidates) -> Figures:
    """Return each candidate's figures on the test sets, their mean, seed by seed."""
    base = config.rows[found.choice.row]
    rows = results[
        (results["split"] == "test") & (results["method"] == base.method)
        & (results["score"] == found.score) & results["metric"].isin(BY)
        & results["convention"].isin(["", "id"])
    ]  # fmt: skip
    told: Figures = {}
    means = rows.groupby(["variant", "metric", "seed"])["value"].mean()
    for (variant, metric, seed), value in means.items():
        label = "" if variant == base.variant else variant
        told.setdefault(label, {}).setdefault(metric, {})[int(seed)] = float(value)
    return {label: told[label] for label in (*found.fixed, *found.drawn)}


def regret(test: Figures, label: str, metric: str) -> dict[int, float]:
    """Return how much worse a candidate is than the best in hindsight (of the means over seeds), in
    points of 0..1, seed by seed."""
    sign = SIGN[metric]
    best = max(test.values(), key=lambda item: sign * fmean(item[metric].values()))
    mine = test[label][metric]
    return {seed: sign * (best[metric][seed] - mine[seed]) for seed in mine}


def said(values: Mapping[int, float]) -> str:
    spread = f" ± {100 * stdev(values.values()):.1f}" if len(values) > 1 else ""
    return f"{100 * fmean(values.values()):.1f}{spread}"


def ways(found: Candidates, halved: Mapping, whole: Mapping) -> tuple[dict[str, str], list[str]]:
    """Return the candidate that each way to choose takes, and a line per way that takes none."""
    untold: list[str] = []
    chosen = {"successive halving": halved["chosen"], "all candidates in full": whole["chosen"]}
    chosen |= {f"in full, {kind} alone": label for kind, label in whole["alone"].items()}
    rules = whole.get("rules") or {}
    for rule in ("confidence", "separation"):
        if (value := rules.get(rule)) is not None:
            like = found.own | {rules["setting"]: value}
            label = next(
                (x for x in found.drawn if found.every[x].settings == like),
                "" if like == found.own else None,
            )
            told = f"without training, by {rule}"
            if label is None:
                untold.append(f"{told}: {rules['setting']} = {value:g}, which was not drawn")
            else:
                chosen[told] = label
        elif rules:
            untold.append(f"without training, by {rule}: none of the values")
    chosen["the row as it is"] = ""
    return chosen | {f"reference {label}": label for label in found.fixed[1:]}, untold


def correlations(test: Figures, whole: Mapping) -> dict[str, dict[str, float]]:
    """Return the rank correlation of validation and test over the candidates, by kind, metric."""
    told: dict[str, dict[str, float]] = {}
    for item in whole["rungs"][-1]["candidates"]:
        for kind, metrics in item["figures"].items():
            for metric, seeds in metrics.items():
                told.setdefault(kind, {}).setdefault(metric, []).append(
                    (fmean(seeds), fmean(test[item["label"]][metric].values()))
                )
    return {
        kind: {metric: float(spearmanr(*zip(*pairs, strict=True)).statistic)
               for metric, pairs in metrics.items()}
        for kind, metrics in told.items()
    }  # fmt: skip


def draw(
    test: Figures, whole: Mapping, fixed: list[str], chosen: str, ranks: Mapping, folder: Path
) -> None:
    """Write regret.png: every candidate on validation and on test, with deviations over seeds."""
    looks = {
        label: (f"reference {label}" if label else "as it is", *look)
        for label, look in fixed_looks(fixed).items()
    }
    own = f", {looks[chosen][0]}" if chosen in looks else ""
    looks[chosen] = (f"chosen{own}", style.VERMILION, "D")
    with style.house_style():
        figure, axes = style.panel_grid(2, 2, width=3.6, height=3.4)
        for ax, metric in zip(axes, BY, strict=True):
            for item in whole["rungs"][-1]["candidates"]:
                sides = (item["figures"]["mean"][metric], [*test[item["label"]][metric].values()])
                (x, dx), (y, dy) = (
                    (100 * fmean(side), 100 * stdev(side) if len(side) > 1 else 0) for side in sides
                )
                word, color, marker = looks.get(
                    item["label"], ("other candidates", style.GREY, "o")
                )
                ax.errorbar(x, y, dy, dx, marker, ms=5, lw=0.5, color=color, label=word)
            heading = METRICS[metric].heading
            ax.set(title=f"{heading}, rank correlation {ranks['mean'][metric]:.2f}",
                   xlabel="validation outliers, %", ylabel="test sets, %")  # fmt: skip
        told = dict(zip(*axes[0].get_legend_handles_labels()[::-1], strict=True))
        figure.legend(told.values(), told, loc="outside upper center", ncols=4, fontsize=8)
        save_figure(figure, folder, "regret", formats=["png"])


def snakemake(overlays: list[Path], targets: list[str], cores: str) -> list[str]:
    return ["snakemake", "-s", str(ROOT / "Snakefile"), "--cores", cores, *targets, "--configfile",
            *map(str, overlays)]  # fmt: skip


def make_up(spec: Spec, config: Config) -> None:
    """Write a finished artifact with random figures in the place of a job's."""
    rng, folder = np.random.default_rng(0), Path(spec.manifest).parent
    folder.mkdir(parents=True)
    Path(spec.manifest).write_text("{}")
    if spec.stage == "metrics":
        rows = [
            {**label, "id_dataset": config.id, "ood_dataset": name, "split": "test",
             "metric": metric, "convention": convention, "value": rng.random()}
            for label in spec.settings["rows"] for name in spec.settings["test"]
            for metric, convention in (("auroc", ""), ("fpr95", "id"))
        ]  # fmt: skip
        pd.DataFrame(rows).to_csv(folder / "metrics.csv", index=False)
        return
    known = spec.settings["candidates"]
    labels = [item["label"] for item in known]
    kinds = dict.fromkeys(kind for _, kind in spec.settings["sets"])
    figures = {
        label: {kind: {metric: list(rng.random(3)) for metric in BY} for kind in ("mean", *kinds)}
        for label in labels
    }
    best = {
        kind: max(labels, key=lambda x, kind=kind: fmean(figures[x][kind]["auroc"]))
        for kind in ("mean", *kinds)
    }
    told = {
        "chosen": best["mean"], "alone": {kind: best[kind] for kind in kinds},
        "going_on": labels[: spec.settings["going_on"] + len(spec.settings["fixed"])],
        "rungs": [{"candidates": [{"label": x, "figures": figures[x]} for x in labels]}],
    }  # fmt: skip
    (folder / "choice.json").write_text(json.dumps(told))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--configfile", nargs="+", type=Path,
                        default=[ROOT / "workflow/presets/embedded-choice.yaml"])  # fmt: skip
    parser.add_argument("--run", metavar="CORES", default="", help="run what is missing")
    parser.add_argument("--tiny", action="store_true", help="make figures up; run nothing")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    config = effective_config([DEFAULT, *given.configfile], look)
    of = planning.choosing(config)
    if of is None:
        sys.exit("error: the configuration must have a `choice`")
    found, texts = candidates(of), of is not config
    overlay = grid(found)
    path = given.out / "grid.yaml"
    path.write_text(yaml.safe_dump({"text": overlay} if texts else overlay, sort_keys=False))
    whole = effective_config([DEFAULT, *given.configfile, path], look)
    plans = [planning.make(config), planning.make(whole)]
    results = plans[1].targets["text_metrics" if texts else "metrics"]
    commands = [
        snakemake(given.configfile, ["choice"], given.run or "all"),
        snakemake([*given.configfile, path], ["choice", results.manifest], given.run or "all"),
    ]
    if given.tiny:
        make_up(results, of)
        for plan, of_plan in zip(plans, (config, whole), strict=True):
            while going_on(plan.choice[-1]) is None:
                make_up(plan.choice[-1], of)
                planning.plan_on(plan, of_plan)
    for command in commands if given.run else ():
        subprocess.run(command, check=True)
    plans = [planning.make(config), planning.make(whole)]
    last = [plan.chosen for plan in plans]
    if None in last or not all(Path(x.manifest).is_file() for x in (*last, results)):
        told = "\n".join(f"  {shlex.join(command)}" for command in commands)
        sys.exit(f"not finished; run (`bood plan` says what it costs), or give --run:\n{told}")
    halved, full = (
        json.loads(Path(x.manifest).with_name("choice.json").read_text(encoding="utf-8"))
        for x in last
    )
    table = pd.read_csv(Path(results.manifest).with_name("metrics.csv"), keep_default_na=False)
    test = tested(table, of, found)
    ranks = correlations(test, full)
    chosen, untold = ways(found, halved, full)
    for metric in BY:
        best = max(test, key=lambda x, m=metric: SIGN[m] * fmean(test[x][m].values()))
        chosen[f"best in hindsight, {metric}"] = best
    rows = []
    for way, label in chosen.items():
        cells = {m: said(test[label][m]) for m in BY}
        cells |= {f"regret_{m}": said(regret(test, label, m)) for m in BY}
        rows.append({"way": way, "candidate": label or "as it is", **cells})
    frame = pd.DataFrame(rows)
    frame.to_csv(given.out / "regret.csv", index=False)
    print("\n".join([frame.to_string(index=False), *untold]))
    for kind, by in ranks.items():
        print(f"rank correlation of validation ({kind}) and test: "
              + ", ".join(f"{metric} {value:.2f}" for metric, value in by.items()))  # fmt: skip
    draw(test, full, found.fixed, halved["chosen"], ranks, given.out)
    told = {
        "made_up": given.tiny, "candidates": len(test), "correlation": ranks,
        "regret": {row["way"]: [row[f"regret_{m}"] for m in BY] for row in rows},
        "machine": machine("cpu"),
    }  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main()
