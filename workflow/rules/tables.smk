rule tables_artifact:
    input:
        upstream,
    output:
        "artifacts/tables/{name}/{digest}/manifest.json",
    log:
        "logs/tables/{name}-{digest}.log",
    benchmark:
        "logs/tables/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.tables {params.order} --out {output} > {log} 2>&1"
