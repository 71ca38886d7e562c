# Jobs without a GPU: the other rules of this kind differ in their paths alone.
rule dataset:
    input:
        upstream,
    output:
        "artifacts/dataset/{name}/{digest}/manifest.json",
    log:
        "logs/dataset/{name}-{digest}.log",
    benchmark:
        "logs/dataset/{name}-{digest}.tsv"
    conda:
        "../../envs/environment.yaml"
    threads: cores
    resources:
        mem_mb=memory,
        runtime=minutes,
    params:
        order=order,
    shell:
        "python -m bood_tasks.jobs {params.order} --out {output} > {log} 2>&1"


use rule dataset as corpus with:
    output:
        "artifacts/corpus/{name}/{digest}/manifest.json",
    log:
        "logs/corpus/{name}-{digest}.log",
    benchmark:
        "logs/corpus/{name}-{digest}.tsv"


use rule dataset as vocabulary with:
    output:
        "artifacts/vocabulary/{name}/{digest}/manifest.json",
    log:
        "logs/vocabulary/{name}-{digest}.log",
    benchmark:
        "logs/vocabulary/{name}-{digest}.tsv"


use rule dataset as tokens with:
    output:
        "artifacts/tokens/{name}/{digest}/manifest.json",
    log:
        "logs/tokens/{name}-{digest}.log",
    benchmark:
        "logs/tokens/{name}-{digest}.tsv"
