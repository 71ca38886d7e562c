rule report_artifact:
    input:
        upstream,
    output:
        "artifacts/report/{name}/{digest}/manifest.json",
    log:
        "logs/report/{name}-{digest}.log",
    benchmark:
        "logs/report/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.report {params.order} --out {output} > {log} 2>&1"
