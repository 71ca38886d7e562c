from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")


configfile: Path(workflow.basedir).joinpath("config.yaml")


include: "workflow/rules/common.smk"


report: "workflow/report/workflow.rst"


wildcard_constraints:
    name=r"[A-Za-z0-9.+=_-]+",
    digest=r"[0-9a-f]{16}",
    kind="|".join(PLACES),


localrules:
    all,
    metrics,
    tables,
    figures,
    score_figures,
    gallery,
    report,
    publish,
    goe_tables,
    goe_figures,


rule all:
    default_target: True
    input:
        [published(kind) for kind in PLAN.targets],


rule metrics:
    input:
        published("metrics"),


rule tables:
    input:
        [published(kind) for kind in present("tables", "ablations", "costs")],


rule figures:
    input:
        [published(kind) for kind in present("figures", "sweeps", "gallery")],


rule score_figures:
    input:
        published("figures"),


rule gallery:
    input:
        published("gallery"),


rule report:
    input:
        published("report"),


rule goe_tables:
    input:
        [published(kind) for kind in present("goe_tables", "goe_text_tables")],


rule goe_figures:
    input:
        [published(kind) for kind in present(*GOE_FIGURES)],


for target, kind in PAPER.items():

    rule:
        name:
            target
        input:
            published(kind),
        localrule: True


include: "workflow/rules/datasets.smk"
include: "workflow/rules/generators.smk"
include: "workflow/rules/synthesis.smk"
include: "workflow/rules/detectors.smk"
include: "workflow/rules/scoring.smk"
include: "workflow/rules/reporting.smk"


onstart:
    require_data(CONFIG)
    note_force(workflow.dag_settings)


onsuccess:
    summarise(PLAN)
