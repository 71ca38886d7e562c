"""Is a fast sampler safe? The same outlier vectors through each, and what detectors make of it.

    PYTHONPATH=. python benchmarks/samplers.py OUT              # runs the preset there and reads it
    PYTHONPATH=. python benchmarks/samplers.py OUT --read-only  # reads what is finished there

workflow/presets/embedded-samplers.yaml has a row for each sampler of the embedded generator: for
each seed the same encoder, vectors, noise and detector training, and only the pictures differ.
Prints a Markdown table: evaluations of the UNet a picture; the mean difference of the pictures to
those of REFERENCE in grey levels, and the share of pixels that differ by more than TOLERANCE; AUROC
and FPR95 in percent, averaged over the test sets, mean ± standard deviation over seeds; and the
difference of AUROC to the default sampler of the same seed. The last line is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from bood_tasks.artifacts.spec import Spec
from bood_tasks.artifacts.store import Artifact
from bood_tasks.config.load import effective_config
from bood_tasks.config.root import Config
from bood_tasks.networks.flops import evaluations
from bood_tasks.plan import plan as planning
from bood_tasks.plan import synthesis
from bood_tasks.scoring.roc import auroc, fpr95

ROOT = Path(__file__).parents[1]
PRESET = ROOT / "workflow/presets/embedded-samplers.yaml"
DEFAULT, REFERENCE = "bood", "ddim100"  # rows
TOLERANCE = 8  # grey levels
TINY = {
    "seeds": [0],
    "datasets": {"fashion8": {"train_per_class": 20}},
    "encoder": {"epochs": 1, "width": 4},
    "detector": {"epochs": 1, "width": 4},
    "ood_features": {"misclassified": "keep", "uncrossed": "keep"},
    "images": {"per_class": 1, "shard": 1},
    "only": {"rows": [DEFAULT, REFERENCE]},
    "rows": {REFERENCE: {"set": {"images": {"steps": 3}}}},
}


def run(folder: Path, overlays: list[Path], cores: str) -> None:
    """Run the workflow in a folder."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", cores]
    command += ["--configfile", *map(str, overlays), "--", "metrics"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT), "PATH": path}, check=True
    )


def pictures(folder: Path, config: Config, row: str, seed: int) -> np.ndarray | None:
    """Return a row's generated pictures, None while they are not there."""
    specs = synthesis.images(config.for_row(row), seed)
    if not all((folder / spec.manifest).is_file() for spec in specs):
        return None
    return np.concatenate([Artifact(folder / spec.manifest)["images"][:] for spec in specs])


def scores_of(plan: planning.Plan) -> dict[tuple[str, int], Spec]:
    """Return {(digest of a row's first outlier shard, seed): scores}; '' for a row without any."""
    found = {}
    for spec in plan.specs.values():
        if spec.stage == "scores":
            detector = spec.inputs["outputs"].inputs["detector"]
            outliers = detector.inputs.get("outliers", ())
            found[outliers[0].digest if outliers else "", detector.settings["seed"]] = spec
    return found


def average(folder: Path, spec: Spec, config: Config) -> tuple[float, float] | None:
    """Return mean AUROC and FPR95 over the test sets in percent, None while they are not there."""
    if not (folder / spec.manifest).is_file():
        return None
    scores = Artifact(folder / spec.manifest)
    inside = scores[f"{config.id}/test/score"][:]
    pairs = [(inside, scores[f"{name}/test/score"][:]) for name in config.test]
    rates = {"convention": "id", "threshold": config.metrics.threshold}
    area = np.mean([auroc(*pair) for pair in pairs])
    return 100 * area, 100 * np.mean([fpr95(*pair, **rates) for pair in pairs])


def spread(values: list[float], sign: str = "") -> str:
    """Return mean ± standard deviation (ddof = 1)."""
    if not values:
        return "–"
    deviation = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.1f}{deviation}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--read-only", action="store_true", help="run nothing")
    parser.add_argument("--cores", default="1")
    parser.add_argument("--tiny", action="store_true", help="two rows in the small: does it run?")
    options = parser.parse_args()
    folder, overlays = options.out.resolve(), [PRESET]
    folder.mkdir(parents=True, exist_ok=True)
    if options.tiny:
        overlays.append(folder / "tiny.json")
        overlays[-1].write_text(json.dumps(TINY), encoding="utf-8")
    if not options.read_only:
        run(folder, overlays, options.cores)
    config = effective_config([ROOT / "config.yaml", *overlays])
    scores, record = scores_of(planning.make(config)), {}
    measured = {}
    for row in config.rows:
        own = config.for_row(row)
        for seed in config.seeds:
            first = synthesis.images(own, seed)[0].digest if config.rows[row].outliers else ""
            measured[row, seed] = average(folder, scores[first, seed], config)
    print("| sampler | evaluations | difference | pixels | AUROC | FPR95 | ΔAUROC | seeds |")
    print("| --- | --: | --: | --: | --: | --: | --: | --: |")
    for row in config.rows:
        images, has = config.for_row(row).images, bool(config.rows[row].outliers)
        done = [seed for seed in config.seeds if measured[row, seed]]
        paired = [seed for seed in done if measured[DEFAULT, seed]]
        difference, share = [], []
        for seed in config.seeds if has else ():
            ours, fine = (pictures(folder, config, name, seed) for name in (row, REFERENCE))
            if ours is not None and fine is not None:
                apart = np.abs(ours.astype(int) - fine)
                difference.append(apart.mean())
                share.append(100 * (apart > TOLERANCE).mean())
        area, rate = ([measured[row, seed][k] for seed in done] for k in (0, 1))
        gains = [measured[row, s][0] - measured[DEFAULT, s][0] for s in paired if row != DEFAULT]
        record[row] = {"auroc": area, "fpr95": rate, "gain": gains, "difference": difference}
        title = f"{images.scheduler} {images.steps}" if has else "no outliers"
        cost = evaluations(images.scheduler, images.steps) if has else "–"
        pixels = f"{np.mean(share):.0f} %" if share else "–"
        print(
            f"| {title} | {cost} | {spread(difference).split(' ')[0]} | {pixels} | {spread(area)} "
            f"| {spread(rate)} | {spread(gains, '+')} | {len(done)} |"
        )
    print(json.dumps({"benchmark": "samplers", "rows": record}, default=float))


if __name__ == "__main__":
    main()
