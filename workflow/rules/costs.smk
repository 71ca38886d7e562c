rule costs_artifact:
    input:
        upstream,
    output:
        "artifacts/costs/{name}/{digest}/manifest.json",
    log:
        "logs/costs/{name}-{digest}.log",
    benchmark:
        "logs/costs/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.costs {params.order} --out {output} > {log} 2>&1"
