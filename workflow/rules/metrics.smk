rule metrics_artifact:
    input:
        upstream,
    output:
        "artifacts/metrics/{name}/{digest}/manifest.json",
    log:
        "logs/metrics/{name}-{digest}.log",
    benchmark:
        "logs/metrics/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.metrics {params.order} --out {output} > {log} 2>&1"
