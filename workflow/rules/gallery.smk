rule gallery_artifact:
    input:
        upstream,
    output:
        "artifacts/gallery/{name}/{digest}/manifest.json",
    log:
        "logs/gallery/{name}-{digest}.log",
    benchmark:
        "logs/gallery/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.gallery {params.order} --out {output} > {log} 2>&1"
