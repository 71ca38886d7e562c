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
        spec=identity,
    shell:
        "python -m bood_tasks.gallery --in {input} --out {output} "
        "--spec {params.spec:q} > {log} 2>&1"
