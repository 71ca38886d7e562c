rule texts:
    input:
        upstream,
    output:
        "artifacts/texts/{name}/{digest}/manifest.json",
    log:
        "logs/texts/{name}-{digest}.log",
    benchmark:
        "logs/texts/{name}-{digest}.tsv"
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
        "python -m bood_tasks.texts {params.order} --out {output} > {log} 2>&1"
