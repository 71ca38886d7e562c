rule encoder:
    input:
        upstream,
    output:
        "artifacts/encoder/{name}/{digest}/manifest.json",
    log:
        "logs/encoder/{name}-{digest}.log",
    benchmark:
        "logs/encoder/{name}-{digest}.tsv"
    priority: 10  # the longest way to the table leads through here
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
        "python -m bood_tasks.encoder {params.order} --out {output} > {log} 2>&1"
