rule scores:
    input:
        upstream,
    output:
        "artifacts/scores/{name}/{digest}/manifest.json",
    log:
        "logs/scores/{name}-{digest}.log",
    benchmark:
        "logs/scores/{name}-{digest}.tsv"
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
        "python -m bood_tasks.scores {params.order} --out {output} "
        "--source={params.source:q} > {log} 2>&1"
