"""Tables 3, 6 and 8: variants of one row beside the paper's, ours all in one setting.

Leaves table3, table6 and table8 as .csv, .md and .tex, and ablations.csv: every figure of every
variant, per seed.
"""

import shutil

from bood_tasks.catalogue.products import table_numbers
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.tables.footnotes import footnotes
from bood_tasks.reporting.tables.paper_tables import save_quality
from bood_tasks.reporting.tables.published import compare
from bood_tasks.reporting.tables.summary import aggregate
from bood_tasks.scoring.metrics import read_rows

VERSION = 1


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    figures = job.inputs["metrics"].folder / "metrics.csv"
    rows, choices = aggregate(read_rows(figures)), list(footnotes(job.settings["notes"]).values())
    with job.draft() as draft:
        shutil.copyfile(figures, draft.folder / "ablations.csv")
        for table in table_numbers("ablations"):
            save_quality(draft.folder, compare(rows, table), choices)
        draft.finish(rows={"tables": len(table_numbers("ablations"))})
