rule pretrained:
    input:
        upstream,
    output:
        "artifacts/pretrained/{name}/{digest}/manifest.json",
    log:
        "logs/pretrained/{name}-{digest}.log",
    benchmark:
        "logs/pretrained/{name}-{digest}.tsv"
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
        "python -m bood_tasks.pretrained {params.order} --out {output} "
        "--source={params.source:q} > {log} 2>&1"
