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
        order=order,
        source=source,
    shell:
        "python -m bood_tasks.dataset {params.order} --out {output} "
        "--source={params.source:q} > {log} 2>&1"
