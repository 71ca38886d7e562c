"""Our figures against scikit-learn's roc_auc_score, roc_curve and average_precision_score.

    PYTHONPATH=. python benchmarks/metrics.py

AUROC, FPR95 in both conventions and both AUPRs of float32 scores with some ties; the script fails
if the two disagree by more than 1e-9. The last line is JSON.
"""

import argparse
import json
import sys
import time

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from bood_tasks.scoring.roc import aupr, auroc, fpr95


def ours(inside: np.ndarray, outside: np.ndarray) -> list[float]:
    """Return AUROC, FPR95 and AUPR in both conventions."""
    figures = [auroc(inside, outside)]
    for convention in ("id", "ood"):
        figures.append(fpr95(inside, outside, convention=convention, threshold="first"))
        figures.append(aupr(inside, outside, positive=convention))
    return figures


def peer(inside: np.ndarray, outside: np.ndarray) -> list[float]:
    """Return the same by scikit-learn."""
    scores = np.concatenate([inside, outside])
    is_id = np.arange(len(scores)) < len(inside)
    figures = [roc_auc_score(is_id, scores)]
    for truth, values in ((is_id, scores), (~is_id, -scores)):
        alarms, hits, _ = roc_curve(truth, values, drop_intermediate=False)
        figures.append(alarms[np.argmax(hits >= 0.95)])
        figures.append(average_precision_score(truth, values))
    return [float(value) for value in figures]


def measure(*, count: int, repeats: int) -> dict:
    """Return the seconds of the fastest of `repeats` runs of each."""
    random = np.random.default_rng(0)
    inside = random.normal(1, 1, count).astype(np.float32).round(4)
    outside = random.normal(0, 1, count).astype(np.float32).round(4)
    seconds, figures = {}, {}
    for name, work in (("ours", ours), ("peer", peer)):
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            figures[name] = work(inside, outside)
            times.append(time.perf_counter() - start)
        seconds[name] = min(times)
    if not np.allclose(figures["ours"], figures["peer"], rtol=0, atol=1e-9):
        sys.exit(f"error: ours {figures['ours']}, scikit-learn {figures['peer']}")
    return {
        "benchmark": "metrics",
        "seconds": round(seconds["ours"], 4),
        "peer": "scikit-learn",
        "peer_seconds": round(seconds["peer"], 4),
        "ratio": round(seconds["peer"] / seconds["ours"], 2),
        "scores": f"{count} ID and {count} OOD",
    }


def main() -> None:
    from machine import machine

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=50_000, help="scores of each side")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    record = measure(count=options.count, repeats=options.repeats)
    print(json.dumps(record | {"machine": machine("cpu")}))


if __name__ == "__main__":
    main()
