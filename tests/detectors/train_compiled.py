"""Train every method with a compiled loss and without: `python -m tests.detectors.train_compiled
BACKEND FOLDER` prints the largest difference of a weight, by method.

A process of its own: torch's compiler cannot trace the checks of shapes that the tests run under.
"""

import json
import os
import sys
from functools import partial
from pathlib import Path

import torch

from tests.detectors.test_methods import PACKAGED, train


def eagerly(original, chosen, function=None, **given):
    """torch.compile by a backend that may be another than the caller's."""
    if function is None:
        return partial(eagerly, original, chosen, **given)
    kept = {key: given[key] for key in ("dynamic", "fullgraph") if key in given}
    return original(function, backend=chosen, **kept)


def main(backend: str, folder: Path) -> None:
    original, found = torch.compile, {}
    for module in sorted(PACKAGED):
        trained = []
        for wanted in (False, True):
            os.environ["BOOD_RUN"] = json.dumps({"compile": wanted})
            torch.compile = partial(eagerly, original, backend)
            trained.append(train(module, folder / f"{module}-{wanted}")[0].state_dict())
        found[module] = max(
            (value - trained[1][name]).abs().max().item() for name, value in trained[0].items()
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
