rule gan_generator:
    input:
        upstream,
    output:
        "artifacts/gan_generator/{name}/{digest}/manifest.json",
    log:
        "logs/gan_generator/{name}-{digest}.log",
    benchmark:
        "logs/gan_generator/{name}-{digest}.tsv"
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
        source=source,
    shell:
        "python -m bood_tasks.gpu {resources.gpu} -- "
        "python -m bood_tasks.gan_generator {params.order} --out {output} "
        "--source={params.source:q} > {log} 2>&1"
