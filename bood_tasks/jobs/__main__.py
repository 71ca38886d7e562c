"""Run one job: `python -m bood_tasks.jobs --in MANIFEST... --spec IDENTITY --out MANIFEST`.

The stage stands in the identity; its module is imported, and no other stage's.
"""

import importlib
import sys

from bood_tasks.catalogue.stages import STAGES
from bood_tasks.jobs.job import run, stage_in


def main(argv: list[str] | None = None) -> None:
    """Run the main of the stage that the order names."""
    argv = sys.argv[1:] if argv is None else argv

    def work() -> None:
        stage = importlib.import_module(f"bood_tasks.{STAGES[stage_in(argv)].module}")
        stage.main(argv)

    run(work)


if __name__ == "__main__":
    main()
