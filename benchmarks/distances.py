"""The stage `distances` against a plain autograd loop, on the same features in one process.

    PYTHONPATH=. python benchmarks/distances.py --rows 50000 --threads 1

Features: each row is its class anchor plus Gaussian noise of a length drawn evenly from 0.5 to 3
times the anchor's, then scaled to --norm. That is made up, not an encoder's output: it puts
cos(z, anchor) between .89 and .32 and spreads the distances (at norm 20 from 7 to 70 steps, mean
30, all cross; the quartiles are printed). Our time grows with the mean, the batched peer's not.

The peer is batched as attack libraries do it: cross-entropy, backward, sign step, K times for
all rows, noting when a prediction first changes. It runs on the first --peer-rows rows and its
time is scaled to all rows. The pruned count (distances.rows: nearest) runs on the same features and
must lead to the same selection. The slower peer, row by row with early exit, is timed on
--single-rows rows and scaled too. The script fails if any peer counts other steps than we do.
The last line is JSON.
"""

import argparse
import json
import sys
import time

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from bood_tasks.synthesis.cosine import cosine_logits
from bood_tasks.synthesis.pruning import nearest_steps
from bood_tasks.synthesis.samplers.selection import select_rows
from bood_tasks.synthesis.stepping import Stepping, count_steps


def make_features(
    rows: int, dim: int, classes: int, norm: float
) -> tuple[Float[Tensor, "n d"], Int[Tensor, " n"], Float[Tensor, "v d"]]:
    """Return features, labels and anchors as the module's docstring says."""
    random = torch.Generator().manual_seed(0)
    anchors = F.normalize(torch.randn(classes, dim, generator=random), dim=1)
    labels = torch.arange(rows) % classes
    length = 0.5 + 2.5 * torch.rand(rows, 1, generator=random)
    noise = torch.randn(rows, dim, generator=random) / dim**0.5
    return norm * F.normalize(anchors[labels] + length * noise, dim=1), labels, anchors


def autograd_steps(
    features: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    anchors: Float[Tensor, "v d"],
    stepping: Stepping,
    *,
    early_exit: bool,
) -> Int[Tensor, " n"]:
    """Return d(z, y) of Eq. 3 on raw features by plain autograd, all rows at once."""
    z = features.clone()
    steps = torch.full((len(z),), stepping.max_steps)
    for step in range(stepping.max_steps):
        z.requires_grad_(True)
        logits = cosine_logits(z, anchors, temperature=stepping.temperature)
        wrong = logits.argmax(dim=1) != labels
        steps = torch.where(wrong & (steps == stepping.max_steps), step, steps)
        if early_exit and bool(wrong.all()):
            break
        loss = F.cross_entropy(logits, labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, z)
        z = (z + stepping.step_size * gradient.sign()).detach()
    return steps


def main() -> None:
    from machine import machine

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--max-steps", type=int, default=100)
    parser.add_argument("--step-size", type=float, default=0.015)
    parser.add_argument("--norm", type=float, default=20.0)
    parser.add_argument("--temperature", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer-rows", type=int, default=2048, help="rows of the batched peer")
    parser.add_argument("--single-rows", type=int, default=64, help="rows of the row-by-row peer")
    parser.add_argument("--rate", type=float, default=0.05, help="of the pruned count")
    parser.add_argument("--repeats", type=int, default=1, help="the fastest of so many runs counts")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    features, labels, anchors = (
        part.to(options.device)
        for part in make_features(options.rows, options.dim, options.classes, options.norm)
    )
    stepping = Stepping(options.step_size, options.max_steps, options.temperature, "raw")

    def timed(work):
        seconds = []
        for _ in range(options.repeats):
            start, busy = time.perf_counter(), time.process_time()
            result = work()
            if options.device == "cuda":
                torch.cuda.synchronize()
            seconds.append((time.perf_counter() - start, time.process_time() - busy))
        return result, *min(seconds)

    count_steps(features[:256], labels[:256], anchors, stepping)  # warm up
    (steps, crossed, margin), seconds, busy = timed(
        lambda: count_steps(features, labels, anchors, stepping)
    )
    quartiles = torch.quantile(
        steps.double(), torch.linspace(0, 1, 5, device=steps.device).double()
    )
    mean_steps = steps.double().mean().item()
    print(
        f"steps: mean {mean_steps:.1f}, min / quartiles / max "
        f"{' '.join(f'{value:g}' for value in quartiles.tolist())}, "
        f"crossed {crossed.double().mean().item():.1%}"
    )

    how = {"rate": options.rate, "scope": "per_class", "misclassified": "drop"}
    (*nearest, exact), pruned, _ = timed(
        lambda: nearest_steps(features, labels, anchors, stepping, **how)
    )
    names = [str(number) for number in range(options.classes)]
    chosen = [
        select_rows(
            labels.cpu().numpy(), *(part.cpu().numpy() for part in found), names,
            select="boundary", seed=0, **how,
        ).rows.tolist()
        for found in ((steps, crossed, margin), nearest)
    ]  # fmt: skip
    if chosen[0] != chosen[1]:
        sys.exit("error: the pruned count leads to another selection")
    print(
        f"nearest {options.rate:.0%} only: {pruned:.2f} s, {seconds / pruned:.1f} times faster, "
        f"the same {len(chosen[0])} rows selected, {exact.double().mean().item():.1%} counted"
    )

    peer_rows = min(options.peer_rows, options.rows)
    single_rows = min(options.single_rows, options.rows)
    peer_steps, peer_part, peer_busy = timed(
        lambda: autograd_steps(
            features[:peer_rows], labels[:peer_rows], anchors, stepping, early_exit=False
        )
    )
    single_steps, single_part, _ = timed(
        lambda: torch.cat(
            [
                autograd_steps(
                    features[i : i + 1], labels[i : i + 1], anchors, stepping, early_exit=True
                )
                for i in range(single_rows)
            ]
        )
    )
    for name, found in (("batched", peer_steps), ("row-by-row", single_steps)):
        different = (found != steps[: len(found)]).nonzero().squeeze(1)
        if len(different):
            i = int(different[0])
            sys.exit(
                f"error: {len(different)} of {len(found)} rows differ from the {name} peer, "
                f"first row {i}: {int(steps[i])} steps against {int(found[i])}"
            )
    peer_seconds = peer_part * options.rows / peer_rows
    single_seconds = single_part * options.rows / single_rows
    print(f"ours: {seconds:.2f} s for {options.rows} rows ({busy:.2f} s of processor time)")
    print(
        f"batched autograd: {peer_seconds:.2f} s, scaled from {peer_part:.2f} s for {peer_rows} "
        f"rows, same step counts; {peer_seconds / seconds:.1f} times ours"
    )
    print(
        f"row-by-row autograd: {single_seconds:.2f} s, scaled from {single_part:.2f} s for "
        f"{single_rows} rows, same step counts; {single_seconds / seconds:.1f} times ours"
    )
    record = {
        "benchmark": "distances",
        "seconds": round(seconds, 3),
        "processor_seconds": round(busy, 3),
        "peer": "batched autograd, K steps for all rows, scaled to all rows",
        "peer_seconds": round(peer_seconds, 3),
        "peer_processor_seconds": round(peer_busy * options.rows / peer_rows, 3),
        "peer_rows": peer_rows,
        "ratio": round(peer_seconds / seconds, 2),
        "row_by_row_seconds": round(single_seconds, 3),
        "row_by_row_rows": single_rows,
        "row_by_row_ratio": round(single_seconds / seconds, 2),
        "mean_steps": round(mean_steps, 2),
        "crossed": round(crossed.double().mean().item(), 4),
        "settings": vars(options),
        "nearest_seconds": round(pruned, 3),
        "nearest_ratio": round(seconds / pruned, 2),
        "nearest_exact_rows": round(exact.double().mean().item(), 4),
        "machine": machine(options.device),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
