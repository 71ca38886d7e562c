"""Tell whether new pictures or texts have drifted from what a detector was calibrated on."""

import argparse
import sys
from pathlib import Path

from bood_tasks.cli.arguments import take_bundle, take_threshold
from bood_tasks.cli.commands.score import items_given, take_items, tell_unreadable
from bood_tasks.cli.loading import exits_by_two, load_bundle

EXTRA = "score"
EXAMPLES = [
    "bood monitor --bundle shoes today/",
    "bood monitor --bundle reviews.zip --lines new.txt",
]
DRIFT = 3  # exit code


def arguments(command: argparse.ArgumentParser) -> None:
    take_bundle(command, required=True)
    take_threshold(command)
    command.add_argument(
        "--alpha",
        type=float,
        default=0.01,
        help="chance that a stream without drift is said to have",
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="JSON file that is written, too")
    take_items(command)


@exits_by_two
def run(arguments: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from bood_tasks.deploy.monitor import drift, told
    from bood_tasks.deploy.score import Said, scored
    from bood_tasks.deploy.tables import open_output, require_output

    detector, said = load_bundle(arguments.bundle), Said()
    decides = {"tpr": arguments.tpr, "threshold": arguments.threshold}
    if detector.reference is None:
        detector.threshold(arguments.tpr)  # says, before anything is read, why none can be told
    items, left_out = items_given(arguments, detector)
    if arguments.out:
        require_output(arguments.out, items)
    for _ in scored(detector, items, said, **decides):
        pass
    found = drift(detector, said.all_scores(), alpha=arguments.alpha, **decides)
    print(*told(found, detector), sep="\n")
    for line in left_out.told():
        print(f"left out: {line}", file=sys.stderr)
    if arguments.out:
        with open_output(arguments.out) as handle:
            facts = asdict(found) | {"drifted": found.drifted, "unreadable": len(said.unreadable)}
            handle.write(json.dumps(facts, indent=1) + "\n")
    unreadable = tell_unreadable(said.unreadable, detector.kind)
    return DRIFT if found.drifted else unreadable
