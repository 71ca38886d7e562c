rule images:
    input:
        upstream,
    output:
        "artifacts/images/{name}/{digest}/manifest.json",
    log:
        "logs/images/{name}-{digest}.log",
    benchmark:
        "logs/images/{name}-{digest}.tsv"
    priority: 10  # the longest way to the table leads through here
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=pack_minutes,
        gpu=1,
    params:
        order=order,
        further=further,
    shell:
        "python -m bood_tasks.gpu {resources.gpu} -- "
        "python -m bood_tasks.images {params.order} {params.further} "
        "--out {output} > {log} 2>&1"
