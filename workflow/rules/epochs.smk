rule epochs:
    input:
        upstream,
    output:
        "artifacts/epochs/{name}/{digest}/manifest.json",
    log:
        "logs/epochs/{name}-{digest}.log",
    benchmark:
        "logs/epochs/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
        gpu=1,
    params:
        order=order,
    shell:
        "python -m bood_tasks.gpu {resources.gpu} -- "
        "python -m bood_tasks.epochs {params.order} --out {output} > {log} 2>&1"
