"""Tables 4 and 5: what BOOD and DreamOOD took here, from each artifact's run.json and size."""

from collections.abc import Iterable, Mapping

from bood_tasks.artifacts.store import Artifact
from bood_tasks.artifacts.usage import Cost, measured
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.tables.frames import Row
from bood_tasks.reporting.tables.layout import MINUS, Cell, TableLayout
from bood_tasks.reporting.tables.paper_tables import cell_block, missing_cell, save
from bood_tasks.reporting.tables.published import KEY, entry_of, read_published

VERSION = 2
TOTAL = "Total"


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
            save(draft.folder, f"table{table}", rows, cost_layout(rows))
        draft.finish(rows={"tables": 2})


def cost_layout(rows: list[Row]) -> TableLayout:
    """Lay out what compare_cost returns."""
    table, costs = rows[0]["table"], KEY["costs"]
    quantities = list(dict.fromkeys(row["quantity"] for row in rows))
    lines, counted = [], []
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = [row for row in rows if row["method"] == method]
        ours, published, differences = [], [], []
        for row in cells:
            unit, none = row["unit"], missing_cell(row["missing"])
            published.append(Cell(f"{row['published']:g} {unit}"))
            ours.append(none if row["missing"] else Cell(f"{row['ours']:.3g} {unit}"))
            differences.append(
                none if row["missing"] else Cell(f"{row['delta']:+.3g} {unit}".replace("-", MINUS))
            )
        lines += cell_block([method], ours, published, differences)
        stages = costs["stages"][costs["methods"][method]]
        counted.append(
            f"{method}: "
            + ", ".join(f"{name} = {' + '.join(stages[name])}" for name in quantities[:-1])
        )
    return TableLayout(
        f"BOOD's table {table}: {costs['tables'][table]['title']}",
        [("Method", [""]), ("", [""]), *((name, [""]) for name in quantities)],
        2,
        lines,
        [
            "Published values are printed as “about”; MB is 1,048,576 bytes, G 1,024 MB.",
            f"Our stages: {'; '.join(counted)}.",
            "Ours is this run on its machine, with its data, networks and number of images: a "
            "difference tells sizes and machines apart, not methods.",
        ],
    )


def compare_cost(ours: Mapping[str, Mapping[str, float | int]], table: str) -> list[Row]:
    """Return every cell of BOOD's table 4 (from seconds) or 5 (from bytes), in the printed units.

    `ours`: {method: {stage: amount}} for bood and dreamood, either or both. A quantity is the sum
    of its stages, the total that of all of the table's stages.
    """
    costs = KEY["costs"]
    printed = read_published(entry_of(costs["tables"], table)["file"])
    if unknown := ", ".join(sorted(set(ours) - set(costs["stages"]))):
        raise ValueError(f"methods must be among {', '.join(costs['stages'])}, got {unknown}")
    quantities = dict.fromkeys(row["quantity"] for row in printed if row["quantity"] != TOTAL)
    found = []
    for row in printed:
        method = costs["methods"][row["method"]]
        counted = (row["quantity"],) if row["quantity"] != TOTAL else quantities
        stages = [stage for quantity in counted for stage in costs["stages"][method][quantity]]
        measured = ours.get(method, {})
        absent = [stage for stage in stages if stage not in measured]
        published, amount = float(row["value"]), None
        if not absent:
            amount = sum(measured[stage] for stage in stages) / costs["units"][row["unit"]]
        missing = f"not measured: {', '.join(absent)}" if measured else "method not measured"
        found.append(
            {
                "table": table,
                "method": row["method"],
                "quantity": row["quantity"],
                "unit": row["unit"],
                "ours": amount,
                "published": published,
                "delta": amount - published if not absent else None,
                "missing": missing if absent else "",
            }
        )
    return found
