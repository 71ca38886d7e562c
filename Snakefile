import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.27")

HERE = Path(str(workflow.current_basedir))
if HERE.joinpath("bood_tasks").is_dir():  # a clone, which need not be installed
    sys.path.insert(0, str(HERE))
try:
    from bood_tasks.config import files, load
except ModuleNotFoundError as error:
    raise WorkflowError(
        f"{error.name} is not installed here; pip install 'bood-tasks[workflow]'"
    ) from None
MODULE = not workflow.modifier.is_main_snakefile()  # of another workflow


OWN = None if MODULE else files.own()


configfile: files.DEFAULT


if OWN:

    configfile: OWN


if workflow.modifier.skip_configfile:  # a module's `config:`, which takes the default's place
    config.update(load.completed(config))


include: "workflow/rules/common.smk"


container: CONFIG.run.container


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
    require_shared_store()
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
