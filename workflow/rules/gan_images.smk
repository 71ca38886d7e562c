rule gan_images:
    input:
        upstream,
    output:
        "artifacts/gan_images/{name}/{digest}/manifest.json",
    log:
        "logs/gan_images/{name}-{digest}.log",
    benchmark:
        "logs/gan_images/{name}-{digest}.tsv"
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
        "python -m bood_tasks.gan_images {params.order} --out {output} > {log} 2>&1"
