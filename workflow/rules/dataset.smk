rule dataset:
    input:
        upstream,
    output:
        "artifacts/dataset/{name}/{digest}/manifest.json",
    log:
        "logs/dataset/{name}-{digest}.log",
    benchmark:
        "logs/dataset/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        spec=identity,
        source=source,
    shell:
        "python -m bood_tasks.dataset --in {input} --out {output} "
        "--spec {params.spec:q} --source={params.source:q} > {log} 2>&1"
