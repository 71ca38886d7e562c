rule goe_epochs_artifact:
    input:
        upstream,
    output:
        "artifacts/goe_epochs/{name}/{digest}/manifest.json",
    log:
        "logs/goe_epochs/{name}-{digest}.log",
    benchmark:
        "logs/goe_epochs/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.goe_epochs {params.order} --out {output} > {log} 2>&1"
