rule anchors:
    input:
        upstream,
    output:
        "artifacts/anchors/{name}/{digest}/manifest.json",
    log:
        "logs/anchors/{name}-{digest}.log",
    benchmark:
        "logs/anchors/{name}-{digest}.tsv"
    priority: 10  # the longest way to the table leads through here
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.anchors {params.order} --out {output} > {log} 2>&1"
