rule publish:
    input:
        artifact,
    output:
        "results/.published/{kind}-{digest}.json",
    log:
        "logs/publish/{kind}-{digest}.log",
    conda:
        "../../envs/environment.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    shell:
        "python -m bood_tasks.publish --in {input} --out {output} "
        "--kind {wildcards.kind} > {log} 2>&1"
