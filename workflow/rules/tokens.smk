rule tokens:
    input:
        upstream,
    output:
        "artifacts/tokens/{name}/{digest}/manifest.json",
    log:
        "logs/tokens/{name}-{digest}.log",
    benchmark:
        "logs/tokens/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.tokens {params.order} --out {output} > {log} 2>&1"
