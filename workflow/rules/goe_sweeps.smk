rule goe_sweeps_artifact:
    input:
        upstream,
    output:
        "artifacts/goe_sweeps/{name}/{digest}/manifest.json",
    log:
        "logs/goe_sweeps/{name}-{digest}.log",
    benchmark:
        "logs/goe_sweeps/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.goe_sweeps {params.order} --out {output} > {log} 2>&1"
