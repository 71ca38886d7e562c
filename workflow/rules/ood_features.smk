rule ood_features:
    input:
        upstream,
    output:
        "artifacts/ood_features/{name}/{digest}/manifest.json",
    log:
        "logs/ood_features/{name}-{digest}.log",
    benchmark:
        "logs/ood_features/{name}-{digest}.tsv"
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
        "python -m bood_tasks.ood_features {params.order} --out {output} > {log} 2>&1"
