rule trajectory:
    input:
        upstream,
    output:
        "artifacts/trajectory/{name}/{digest}/manifest.json",
    log:
        "logs/trajectory/{name}-{digest}.log",
    benchmark:
        "logs/trajectory/{name}-{digest}.tsv"
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
        "python -m bood_tasks.trajectory {params.order} --out {output} > {log} 2>&1"
