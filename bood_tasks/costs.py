"""Tables 4 and 5: what BOOD and DreamOOD took here, from each artifact's run.json and size."""

from collections.abc import Iterable

from bood_tasks.cost import Cost, measured
from bood_tasks.paper_tables import cost_sheet, save
from bood_tasks.published import compare_cost
from bood_tasks.stage import read_job, run
from bood_tasks.store import Artifact

VERSION = 1


def _stages(artifacts: Iterable[Artifact]) -> dict[str, Cost]:
    return measured((artifact.spec["stage"], artifact.manifest) for artifact in artifacts)


def seconds(artifacts: Iterable[Artifact]) -> dict[str, float]:
    """Return the wall time of each stage's artifacts; a stage with an unknown one is left out."""
    found = _stages(artifacts).items()
    return {stage: 3600 * cost.hours for stage, cost in found if cost.hours is not None}


def sizes(artifacts: Iterable[Artifact]) -> dict[str, float]:
    """Return the bytes of each stage's artifacts."""
    return {stage: cost.disk for stage, cost in _stages(artifacts).items()}


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    with job.draft() as draft:
        for table, measure in (("4", seconds), ("5", sizes)):
            ours = {method: measure(made) for method, made in job.inputs.items()}
            rows = compare_cost(ours, table)
            save(draft.folder, rows, cost_sheet(rows))
        draft.finish(rows={"tables": 2})


if __name__ == "__main__":
    run(main)
