use rule dataset as tables_artifact with:
    output:
        "artifacts/tables/{name}/{digest}/manifest.json",
    log:
        "logs/tables/{name}-{digest}.log",
    benchmark:
        "logs/tables/{name}-{digest}.tsv"


use rule dataset as ablations_artifact with:
    output:
        "artifacts/ablations/{name}/{digest}/manifest.json",
    log:
        "logs/ablations/{name}-{digest}.log",
    benchmark:
        "logs/ablations/{name}-{digest}.tsv"


use rule dataset as costs_artifact with:
    output:
        "artifacts/costs/{name}/{digest}/manifest.json",
    log:
        "logs/costs/{name}-{digest}.log",
    benchmark:
        "logs/costs/{name}-{digest}.tsv"


use rule dataset as goe_tables_artifact with:
    output:
        "artifacts/goe_tables/{name}/{digest}/manifest.json",
    log:
        "logs/goe_tables/{name}-{digest}.log",
    benchmark:
        "logs/goe_tables/{name}-{digest}.tsv"


use rule dataset as figures_artifact with:
    output:
        "artifacts/figures/{name}/{digest}/manifest.json",
    log:
        "logs/figures/{name}-{digest}.log",
    benchmark:
        "logs/figures/{name}-{digest}.tsv"


use rule dataset as sweeps_artifact with:
    output:
        "artifacts/sweeps/{name}/{digest}/manifest.json",
    log:
        "logs/sweeps/{name}-{digest}.log",
    benchmark:
        "logs/sweeps/{name}-{digest}.tsv"


use rule dataset as gallery_artifact with:
    output:
        "artifacts/gallery/{name}/{digest}/manifest.json",
    log:
        "logs/gallery/{name}-{digest}.log",
    benchmark:
        "logs/gallery/{name}-{digest}.tsv"


use rule dataset as best_artifact with:
    output:
        "artifacts/best/{name}/{digest}/manifest.json",
    log:
        "logs/best/{name}-{digest}.log",
    benchmark:
        "logs/best/{name}-{digest}.tsv"


use rule dataset as comparison_artifact with:
    output:
        "artifacts/comparison/{name}/{digest}/manifest.json",
    log:
        "logs/comparison/{name}-{digest}.log",
    benchmark:
        "logs/comparison/{name}-{digest}.tsv"


# A checkpoint: its artifact says which candidates go on, and the plan goes on with them.
checkpoint choice_artifact:
    input:
        upstream,
    output:
        "artifacts/choice/{name}/{digest}/manifest.json",
    log:
        "logs/choice/{name}-{digest}.log",
    benchmark:
        "logs/choice/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.jobs {params.order} --out {output} > {log} 2>&1"


use rule dataset as losses_artifact with:
    output:
        "artifacts/losses/{name}/{digest}/manifest.json",
    log:
        "logs/losses/{name}-{digest}.log",
    benchmark:
        "logs/losses/{name}-{digest}.tsv"


use rule dataset as examples_artifact with:
    output:
        "artifacts/examples/{name}/{digest}/manifest.json",
    log:
        "logs/examples/{name}-{digest}.log",
    benchmark:
        "logs/examples/{name}-{digest}.tsv"


use rule dataset as goe_sweeps_artifact with:
    output:
        "artifacts/goe_sweeps/{name}/{digest}/manifest.json",
    log:
        "logs/goe_sweeps/{name}-{digest}.log",
    benchmark:
        "logs/goe_sweeps/{name}-{digest}.tsv"


use rule dataset as goe_epochs_artifact with:
    output:
        "artifacts/goe_epochs/{name}/{digest}/manifest.json",
    log:
        "logs/goe_epochs/{name}-{digest}.log",
    benchmark:
        "logs/goe_epochs/{name}-{digest}.tsv"


use rule dataset as goe_gallery_artifact with:
    output:
        "artifacts/goe_gallery/{name}/{digest}/manifest.json",
    log:
        "logs/goe_gallery/{name}-{digest}.log",
    benchmark:
        "logs/goe_gallery/{name}-{digest}.tsv"


use rule dataset as report_artifact with:
    output:
        "artifacts/report/{name}/{digest}/manifest.json",
    log:
        "logs/report/{name}-{digest}.log",
    benchmark:
        "logs/report/{name}-{digest}.tsv"


rule publish:
    input:
        artifact,
    output:
        "results/.published/{kind}-{digest}.json",
    log:
        "logs/publish/{kind}-{digest}.log",
    localrule: True
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        about=note_of(config),
    shell:
        "python -m bood_tasks.reporting.publish --in {input} --out {output} "
        "--kind {wildcards.kind} --about {params.about} > {log} 2>&1"
