rule sweeps_artifact:
    input:
        upstream,
    output:
        "artifacts/sweeps/{name}/{digest}/manifest.json",
    log:
        "logs/sweeps/{name}-{digest}.log",
    benchmark:
        "logs/sweeps/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.sweeps {params.order} --out {output} > {log} 2>&1"
