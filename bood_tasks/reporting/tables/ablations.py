"""Tables 3, 6 and 8: variants of one row beside the paper's, ours all in one setting.

Leaves table3, table6 and table8 as .csv, .md and .tex, and ablations.csv: every value of every
variant, per seed.
"""

import shutil

from bood_tasks.catalogue.products import table_numbers
from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.tables.footnotes import choices_behind
from bood_tasks.reporting.tables.frames import read_metrics
from bood_tasks.reporting.tables.paper_tables import save_quality
from bood_tasks.reporting.tables.published import compare_with_bood
from bood_tasks.reporting.tables.summary import aggregate

VERSION = 3


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    results = job.inputs["metrics"].folder / "metrics.csv"
    summary = aggregate(read_metrics(job.inputs["metrics"]))
    with job.draft() as draft:
        shutil.copyfile(results, draft.folder / "ablations.csv")
        for table in table_numbers("ablations"):
            choices = choices_behind(job.settings, table)
            save_quality(draft.folder, compare_with_bood(summary, table), choices)
        draft.finish(rows={"tables": len(table_numbers("ablations"))})
