"""Our post-hoc scores against pytorch-ood's, from the same outputs of one classifier.

    PYTHONPATH=. python benchmarks/scores.py

Each time is fit and score together. ODIN runs a small ResNet over pictures. The script fails if
the two rank samples differently: sorted by our score, the peer's may nowhere step back by more
than 1e-3 of its standard deviation, which is its rounding. The last line is JSON; its ratio is
that of all scores' times together.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence

import torch
from pytorch_ood import detector as peer
from torch import Tensor, nn

from bood_tasks.networks.resnet import ResNet
from bood_tasks.networks.weights import initialised
from bood_tasks.scoring.posthoc.base import Outputs
from bood_tasks.scoring.posthoc.odin import odin
from bood_tasks.scoring.posthoc.table import score_named
from bood_tasks.scoring.posthoc.vim import vim_dimension

TOLERANCE = 1e-3
WEIGHT = 0.05  # of the head, so that logits are of a trained network's size
ROWS = 1000  # at once for the peer's DICE, which holds rows x classes x channels
NEIGHBOURS, PERCENTILE, SPARSITY, TEMPERATURE, MAGNITUDE = 50, 90.0, 90.0, 1000.0, 0.01
SETTINGS = {
    "knn": {"neighbours": NEIGHBOURS},
    "vim": {"dimension": None},
    "react": {"percentile": PERCENTILE},
    "dice": {"sparsity": SPARSITY},
    "gen": {"gamma": 0.1, "classes": 100},
    "nnguide": {"neighbours": NEIGHBOURS, "share": 1.0},
    "ash": {"variant": "s", "percentile": PERCENTILE},
    "scale": {"percentile": PERCENTILE},
}


def made_up(rows: int, head: nn.Linear, *, spread: float, random: torch.Generator) -> Outputs:
    """Return outputs of rectified features that lie about one centre a class.

    Half of the channels are quiet: without a gap in the spectrum ViM's space, and with it the
    order, would hang on the rounding of the peer's float32 covariance.
    """
    classes, width = head.weight.shape
    labels = torch.randint(classes, (rows,), generator=random)
    features = torch.randn(rows, width, generator=random) * spread
    features = (features + head.weight.detach()[labels] / WEIGHT).relu()
    features[:, width // 2 :] *= 0.3
    return Outputs(features, head(features).detach(), labels=labels, head=head)


def peers(training: Outputs, test: Outputs) -> dict[str, Callable[[], Tensor]]:
    """Return pytorch-ood's scores by name; larger = more OOD."""
    weight, bias, features = training.head.weight, training.head.bias, training.features

    def fitted(found, rows: int = len(test.features)) -> Tensor:
        found.fit_features(features, training.labels)
        return torch.cat([found.predict_features(block) for block in test.features.split(rows)])

    def react() -> Tensor:
        found = peer.ReAct(None, training.head, percentile=PERCENTILE / 100)
        found.fit_feature_maps(features, training.labels)
        return found.predict_feature_maps(test.features)

    def shaped(kind, **how) -> Tensor:
        found = kind(None, flat, percentile=PERCENTILE / 100, **how)
        return found.predict_feature_maps(test.features[:, :, None, None])

    def klm() -> Tensor:
        return peer.KLMatching(None).fit_logits(training.logits).predict_logits(test.logits)

    dimension = vim_dimension(features.shape[1])
    flat = nn.Sequential(nn.Flatten(), training.head)
    gradnorm = peer.GradNorm(training.head, lambda name: name == "weight")
    return {
        "msp": lambda: peer.MaxSoftmax.score(test.logits),
        "energy": lambda: peer.EnergyBased.score(test.logits),
        "mahalanobis": lambda: fitted(peer.Mahalanobis(None)),
        "knn": lambda: fitted(peer.KNN(None, k=NEIGHBOURS)),
        "vim": lambda: fitted(peer.ViM(None, d=dimension, w=weight, b=bias)),
        "react": react,
        "dice": lambda: fitted(peer.DICE(None, weight, bias, p=SPARSITY / 100), ROWS),
        "max_logit": lambda: peer.MaxLogit.score(test.logits),
        "gen": lambda: peer.GEN.score(test.logits.double()),
        "klm": klm,
        "rmds": lambda: fitted(peer.RMD(None)),
        "she": lambda: fitted(peer.SHE(None, training.head)),
        "nnguide": lambda: fitted(peer.NNGuide(None, training.head, k=NEIGHBOURS), ROWS),
        "fdbd": lambda: fitted(peer.fDBD(None, training.head)),
        "gradnorm": lambda: gradnorm.predict(test.features),
        "ash": lambda: shaped(peer.ASH, variant="ash-s"),
        "scale": lambda: shaped(peer.SCALE),
    }


def odins(pictures: int) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Return our ODIN and the peer's, on the same network and pictures."""
    model = initialised(lambda: ResNet(depth=18, width=16, stem="cifar", outputs=10), 0).eval()
    with torch.no_grad():
        model.head.weight *= 1000  # so that float32 tells probabilities at T = 1000 apart
    x = torch.randn(pictures, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def ours() -> Tensor:
        found = [
            odin(model, block, temperature=TEMPERATURE, magnitudes=[MAGNITUDE])
            for block in x.split(128)
        ]
        return torch.cat(found)[:, 0]

    def theirs() -> Tensor:
        found = peer.ODIN(model, eps=MAGNITUDE, temperature=TEMPERATURE)
        return torch.cat([found.predict(block) for block in x.split(128)])

    return ours, theirs


def step_back(ours: Tensor, theirs: Tensor) -> float:
    """Return by how much the peer's score falls at most, in the order of ours, in deviations."""
    ordered = -theirs.double()[ours.argsort(stable=True)]
    return float((ordered.cummax(0).values - ordered).max() / ordered.std())


def timed(work: Callable[[], Tensor], repeats: int) -> tuple[float, Tensor]:
    """Return the seconds of the fastest run, and the result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        found = work()
        times.append(time.perf_counter() - start)
    return min(times), found


def measure(
    *, rows: int, fit_rows: int, pictures: int, repeats: int, only: Sequence[str] = ()
) -> dict:
    """Print one line a score and return the record of all."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    head = nn.Linear(512, 100)
    nn.init.normal_(head.weight, std=WEIGHT)
    training = made_up(fit_rows, head, spread=1.5, random=random)
    test = made_up(rows, head, spread=1.7, random=random)

    def ours(name: str) -> Callable[[], Tensor]:
        score = score_named(name, SETTINGS.get(name, {}))
        return lambda: score.score(test, score.fit(training) if score.fit else {})

    pairs = {name: (ours(name), theirs) for name, theirs in peers(training, test).items()}
    pairs["odin"] = odins(pictures)
    pairs = {name: pair for name, pair in pairs.items() if name in only or not only}
    seconds, theirs = {}, {}
    for name, (mine, other) in pairs.items():
        seconds[name], found = timed(mine, repeats)
        theirs[name], expected = timed(other, repeats)
        back = step_back(found, expected)
        ratio = theirs[name] / seconds[name]
        print(
            f"{name:12} {seconds[name]:8.3f} s, pytorch-ood {theirs[name]:8.3f} s, "
            f"ratio {ratio:6.2f}, furthest step back {back:.1e}"
        )
        if not back <= TOLERANCE:
            sys.exit(f"error: {name} ranks the samples differently")
    return {
        "benchmark": "scores",
        "seconds": round(sum(seconds.values()), 3),
        "peer": "pytorch-ood",
        "peer_seconds": round(sum(theirs.values()), 3),
        "ratio": round(sum(theirs.values()) / sum(seconds.values()), 2),
        "ratios": {name: round(theirs[name] / seconds[name], 2) for name in seconds},
        "scores": f"{rows} of 512 channels and 100 classes, fitted to {fit_rows}",
    }


def main() -> None:
    from machine import machine

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000, help="scored")
    parser.add_argument("--fit-rows", type=int, default=50_000)
    parser.add_argument("--pictures", type=int, default=512, help="of ODIN")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=(), metavar="SCORE")
    options = parser.parse_args()
    record = measure(**vars(options))
    print(json.dumps(record | {"machine": machine("cpu")}))


if __name__ == "__main__":
    main()
