rule language_model:
    input:
        upstream,
    output:
        "artifacts/language_model/{name}/{digest}/manifest.json",
    log:
        "logs/language_model/{name}-{digest}.log",
    benchmark:
        "logs/language_model/{name}-{digest}.tsv"
    priority: 10  # the longest way to the table leads through here
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
        "python -m bood_tasks.language_model {params.order} --out {output} "
        "--source={params.source:q} > {log} 2>&1"
