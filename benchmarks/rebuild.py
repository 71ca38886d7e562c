"""Tables, figures and report from cached scores, at the size of the embedded default.

    PYTHONPATH=. python benchmarks/rebuild.py
    PYTHONPATH=. python benchmarks/rebuild.py --repeat 1 --configfile workflow/presets/smoke.yaml

Data sets and pixel statistics are made by their rules. Scores are random numbers in artifacts of
the real names, counts and shapes, and albums of random pictures stand for those of networks,
since training them takes an hour; what is timed reads them as it would read real ones. Prints
seconds, then the slowest jobs of the last run. The last line is JSON.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL.Image

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.spec import Spec
from bood_tasks.artifacts.store import Artifact, Draft
from bood_tasks.config.load import effective_config
from bood_tasks.plan import plan
from bood_tasks.reporting.tables.costs import compare_cost, cost_layout
from bood_tasks.reporting.tables.paper_tables import save
from bood_tasks.scoring.outlier_distance import COLUMNS

ROOT = Path(__file__).parents[1]
PRODUCTS = ("metrics", "tables", "ablations", "sweeps", "figures", "comparison", "report")
PICTURES = 40


def snakemake(folder: Path, overlays: list[Path], *targets: str) -> float:
    """Run the workflow in a folder and return its seconds."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "all"]
    command += ["--configfile", *map(str, overlays), "--"] if overlays else []
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": path}
    done = subprocess.run([*command, *targets], cwd=folder, env=environment, capture_output=True)
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-2000:])
    return time.perf_counter() - start


def fake_scores(folder: Path, spec: Spec, rng: np.random.Generator) -> None:
    """Write a scores artifact of the right shape: OOD a standard deviation below ID."""
    outputs = spec.inputs["outputs"]
    names, inside = outputs.settings["datasets"], outputs.settings["id"]
    with Draft(folder / spec.manifest, spec.identity()) as draft:
        for name, item in zip(names, outputs.inputs["datasets"], strict=True):
            rows = Artifact(folder / item.manifest).rows
            for split in ("test", "validation"):
                if split not in rows or (split == "validation" and name != inside):
                    continue
                part, count = f"{name}/{split}", rows[split]
                scores = rng.standard_normal(count) + (name == inside)
                draft.save(f"{part}/score", scores.astype(np.float32))
                draft.save(f"{part}/index", np.arange(count))
                if name == inside:
                    draft.save(f"{part}/correct", rng.random(count) < 0.9)
        write_json(draft.folder / "score.json", {"score": spec.settings["score"]})
        draft.finish()


def fake_album(folder: Path, spec: Spec, rng: np.random.Generator) -> None:
    """Write a gallery, or examples, of random pictures."""
    with Draft(folder / spec.manifest, spec.identity()) as draft:
        captions = []
        for number in range(PICTURES):
            noise = rng.integers(0, 256, (300, 300), dtype=np.uint8)
            PIL.Image.fromarray(noise).save(draft.folder / f"picture{number}.png")
            captions.append({"file": f"picture{number}.png", "title": "noise", "caption": ""})
        write_json(draft.folder / "captions.json", {"figures": captions, "warnings": []})
        draft.finish()


def fake_costs(folder: Path, spec: Spec) -> None:
    """Write Tables 4 and 5 of artifacts that are not there."""
    with Draft(folder / spec.manifest, spec.identity()) as draft:
        for table in ("4", "5"):
            rows = compare_cost({method: {} for method in spec.inputs}, table)
            save(draft.folder, f"table{table}", rows, cost_layout(rows))
        draft.finish()


def fake_distances(folder: Path, spec: Spec, rng: np.random.Generator) -> None:
    """Write how far outliers lie from ID, at random."""
    lines = [{"kind": "ood", "dataset": name} for name in spec.settings["datasets"]]
    lines += [
        {"kind": "outliers", "method": row["method"], "variant": row["variant"]}
        for row in spec.settings["rows"]
    ]
    places = ("knn", "mahalanobis", "confidence", "pixels")
    with Draft(folder / spec.manifest, spec.identity()) as draft:
        path = draft.folder / "outlier_distance.csv"
        with path.open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
            writer.writeheader()
            for line in lines:
                where = dict(zip(places, rng.uniform(0.5, 1, len(places)), strict=True))
                writer.writerow(line | {"count": 1} | where)
        draft.finish()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--configfile", type=Path, nargs="*", default=[], help="overlays, or none")
    options = parser.parse_args()
    overlays = [path.resolve() for path in options.configfile]
    made = plan.make(effective_config([ROOT / "config.yaml", *overlays]))
    products = [product for product in PRODUCTS if product in made.targets]
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pixels = [spec for spec in made.specs.values() if spec.stage == "pixel_statistics"]
        snakemake(folder, overlays, *(str(spec.manifest) for spec in pixels))
        scores = [spec for spec in made.specs.values() if spec.stage == "scores"]
        for spec in scores:
            fake_scores(folder, spec, rng)
        for album in ("examples", "gallery", "losses"):
            fake_album(folder, made.targets[album], rng)
        fake_costs(folder, made.targets["costs"])
        for spec in made.specs.values():
            if spec.stage == "outlier_distance":
                fake_distances(folder, spec, rng)
        took = []
        for _ in range(options.repeat):
            for product in (*(f"artifacts/{product}" for product in products), "results"):
                shutil.rmtree(folder / product, ignore_errors=True)
            took.append(snakemake(folder, overlays, "tables", "figures", "report"))
        again = snakemake(folder, overlays, "tables", "figures", "report")
        jobs = {}
        for path in (folder / "logs").glob("*/*.tsv"):
            seconds = path.read_text().splitlines()[1].split("\t")[0]
            jobs[path.parent.name] = float(seconds)
    for stage in products:
        print(f"{stage:10} {jobs[stage]:6.2f} s")
    print(json.dumps({
        "scores": len(scores), "seconds": [round(t, 2) for t in took], "nothing": round(again, 2)
    }))  # fmt: skip


if __name__ == "__main__":
    main()
