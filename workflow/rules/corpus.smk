rule corpus:
    input:
        upstream,
    output:
        "artifacts/corpus/{name}/{digest}/manifest.json",
    log:
        "logs/corpus/{name}-{digest}.log",
    benchmark:
        "logs/corpus/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
        source=source,
    shell:
        "python -m bood_tasks.corpus {params.order} --out {output} "
        "--source={params.source:q} > {log} 2>&1"
