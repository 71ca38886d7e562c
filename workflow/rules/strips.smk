rule strips:
    input:
        upstream,
    output:
        "artifacts/strips/{name}/{digest}/manifest.json",
    log:
        "logs/strips/{name}-{digest}.log",
    benchmark:
        "logs/strips/{name}-{digest}.tsv"
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
        "python -m bood_tasks.strips {params.order} --out {output} > {log} 2>&1"
