"""Tables 4 and 5: what BOOD and DreamOOD took here, from each artifact's run.json and size."""

import json
from collections import Counter
from collections.abc import Iterable

from bood_tasks.paper_tables import cost_sheet, save
from bood_tasks.published import compare_cost
from bood_tasks.stage import read_job, run
from bood_tasks.store import Artifact

VERSION = 1


def seconds(artifacts: Iterable[Artifact]) -> dict[str, float]:
    """Return the wall time of each stage's artifacts; a stage with an unknown one is left out.

    A job that was killed and resumed counts its last try alone.
    """
    found, unknown = Counter(), set()
    for artifact in artifacts:
        stage, path = artifact.spec["stage"], artifact.folder / "run.json"
        facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if "seconds" not in facts:
            unknown.add(stage)
        found[stage] += facts.get("seconds", 0)
    return {stage: value for stage, value in found.items() if stage not in unknown}


def sizes(artifacts: Iterable[Artifact]) -> dict[str, int]:
    """Return the bytes of each stage's artifacts."""
    found = Counter()
    for artifact in artifacts:
        found[artifact.spec["stage"]] += sum(item["size"] for item in artifact.files.values())
    return dict(found)


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
