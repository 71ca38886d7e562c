rule text_statistics:
    input:
        upstream,
    output:
        "artifacts/text_statistics/{name}/{digest}/manifest.json",
    log:
        "logs/text_statistics/{name}-{digest}.log",
    benchmark:
        "logs/text_statistics/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.text_statistics {params.order} --out {output} > {log} 2>&1"
