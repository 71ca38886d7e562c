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
        spec=identity,
    shell:
        "python -m bood_tasks.metrics --in {input} --out {output} "
        "--spec {params.spec:q} > {log} 2>&1"
