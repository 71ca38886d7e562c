from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")


configfile: Path(workflow.basedir).joinpath("config.yaml")


include: "workflow/rules/common.smk"


report: "workflow/report/workflow.rst"


wildcard_constraints:
    name=r"[A-Za-z0-9.+=_-]+",
    digest=r"[0-9a-f]{16}",
    kind="|".join(PRODUCTS),


rule all:
    default_target: True
    input:
        published(*PLAN.targets),
    localrule: True


for target, kinds in targets().items():

    rule:
        name:
            target
        input:
            published(*kinds, target=target),
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
    note_run(log)


onsuccess:
    if SCREEN:
        SCREEN.end()
    summarise(PLAN, note_of(config), log)


onerror:
    if SCREEN:
        SCREEN.give_up()
