rule goe_tables_artifact:
    input:
        upstream,
    output:
        "artifacts/goe_tables/{name}/{digest}/manifest.json",
    log:
        "logs/goe_tables/{name}-{digest}.log",
    benchmark:
        "logs/goe_tables/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.goe_tables {params.order} --out {output} > {log} 2>&1"
