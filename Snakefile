from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")


configfile: Path(workflow.basedir).joinpath("config.yaml")


include: "workflow/rules/common.smk"


report: "workflow/report/workflow.rst"


wildcard_constraints:
    name=r"[A-Za-z0-9.+=_-]+",
    digest=r"[0-9a-f]{16}",
    kind="|".join(publication.PLACES),


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


include: "workflow/rules/dataset.smk"
include: "workflow/rules/generator.smk"
include: "workflow/rules/anchors.smk"
include: "workflow/rules/encoder.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/distances.smk"
include: "workflow/rules/ood_features.smk"
include: "workflow/rules/images.smk"
include: "workflow/rules/gan_generator.smk"
include: "workflow/rules/gan_images.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/vocabulary.smk"
include: "workflow/rules/tokens.smk"
include: "workflow/rules/language_model.smk"
include: "workflow/rules/texts.smk"
include: "workflow/rules/pretrained.smk"
include: "workflow/rules/trajectory.smk"
include: "workflow/rules/strips.smk"
include: "workflow/rules/detector.smk"
include: "workflow/rules/outputs.smk"
include: "workflow/rules/scores.smk"
include: "workflow/rules/pixel_statistics.smk"
include: "workflow/rules/text_statistics.smk"
include: "workflow/rules/epochs.smk"
include: "workflow/rules/metrics.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/ablations.smk"
include: "workflow/rules/costs.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/sweeps.smk"
include: "workflow/rules/gallery.smk"
include: "workflow/rules/goe_tables.smk"
include: "workflow/rules/goe_sweeps.smk"
include: "workflow/rules/goe_epochs.smk"
include: "workflow/rules/goe_gallery.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/publish.smk"


onstart:
    require_data(CONFIG)
    note_force(workflow.dag_settings)


onsuccess:
    summarise(PLAN)
