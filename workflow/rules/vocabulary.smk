rule vocabulary:
    input:
        upstream,
    output:
        "artifacts/vocabulary/{name}/{digest}/manifest.json",
    log:
        "logs/vocabulary/{name}-{digest}.log",
    benchmark:
        "logs/vocabulary/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.vocabulary {params.order} --out {output} > {log} 2>&1"
