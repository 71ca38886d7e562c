use rule dataset as pretrained with:
    output:
        "artifacts/pretrained/{name}/{digest}/manifest.json",
    log:
        "logs/pretrained/{name}-{digest}.log",
    benchmark:
        "logs/pretrained/{name}-{digest}.tsv"


use rule generator as detector with:
    output:
        "artifacts/detector/{name}/{digest}/manifest.json",
    log:
        "logs/detector/{name}-{digest}.log",
    benchmark:
        "logs/detector/{name}-{digest}.tsv"
    priority: 0
