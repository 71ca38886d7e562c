# Jobs that lease a GPU: the other rules of this kind differ in their paths alone.
rule generator:
    input:
        upstream,
    output:
        "artifacts/generator/{name}/{digest}/manifest.json",
    log:
        "logs/generator/{name}-{digest}.log",
    benchmark:
        "logs/generator/{name}-{digest}.tsv"
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
    shell:
        "python -m bood_tasks.jobs.gpu {resources.gpu} -- "
        "python -m bood_tasks.jobs {params.order} --out {output} > {log} 2>&1"


use rule dataset as lora with:
    output:
        "artifacts/lora/{name}/{digest}/manifest.json",
    log:
        "logs/lora/{name}-{digest}.log",
    benchmark:
        "logs/lora/{name}-{digest}.tsv"


use rule generator as gan_generator with:
    output:
        "artifacts/gan_generator/{name}/{digest}/manifest.json",
    log:
        "logs/gan_generator/{name}-{digest}.log",
    benchmark:
        "logs/gan_generator/{name}-{digest}.tsv"


use rule generator as language_model with:
    output:
        "artifacts/language_model/{name}/{digest}/manifest.json",
    log:
        "logs/language_model/{name}-{digest}.log",
    benchmark:
        "logs/language_model/{name}-{digest}.tsv"
