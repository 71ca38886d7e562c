rule goe_gallery_artifact:
    input:
        upstream,
    output:
        "artifacts/goe_gallery/{name}/{digest}/manifest.json",
    log:
        "logs/goe_gallery/{name}-{digest}.log",
    benchmark:
        "logs/goe_gallery/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.goe_gallery {params.order} --out {output} > {log} 2>&1"
