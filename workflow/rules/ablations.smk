rule ablations_artifact:
    input:
        upstream,
    output:
        "artifacts/ablations/{name}/{digest}/manifest.json",
    log:
        "logs/ablations/{name}-{digest}.log",
    benchmark:
        "logs/ablations/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.ablations {params.order} --out {output} > {log} 2>&1"
