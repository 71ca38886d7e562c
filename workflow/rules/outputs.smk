rule outputs:
    input:
        upstream,
    output:
        "artifacts/outputs/{name}/{digest}/manifest.json",
    log:
        "logs/outputs/{name}-{digest}.log",
    benchmark:
        "logs/outputs/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
        gpu=1,
    params:
        order=order,
        source=source,
    shell:
        "python -m bood_tasks.gpu {resources.gpu} -- "
        "python -m bood_tasks.outputs {params.order} --out {output} "
        "--source={params.source:q} > {log} 2>&1"
