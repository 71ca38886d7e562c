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
        spec=identity,
    shell:
        "python -m bood_tasks.tables --in {input} --out {output} "
        "--spec {params.spec:q} > {log} 2>&1"
