rule figures_artifact:
    input:
        upstream,
    output:
        "artifacts/figures/{name}/{digest}/manifest.json",
    log:
        "logs/figures/{name}-{digest}.log",
    benchmark:
        "logs/figures/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.figures {params.order} --out {output} > {log} 2>&1"
