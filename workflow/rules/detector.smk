rule detector:
    input:
        upstream,
    output:
        "artifacts/detector/{name}/{digest}/manifest.json",
    log:
        "logs/detector/{name}-{digest}.log",
    benchmark:
        "logs/detector/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
        gpu=1,
    params:
        order=order,
        source=source,
    shell:
        "python -m bood_tasks.gpu {resources.gpu} -- "
        "python -m bood_tasks.detector {params.order} --out {output} "
        "--source={params.source:q} > {log} 2>&1"
