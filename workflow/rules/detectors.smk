use rule dataset as network with:
    output:
        "artifacts/network/{name}/{digest}/manifest.json",
    log:
        "logs/network/{name}-{digest}.log",
    benchmark:
        "logs/network/{name}-{digest}.tsv"


use rule dataset as pretrained with:
    output:
        "artifacts/pretrained/{name}/{digest}/manifest.json",
    log:
        "logs/pretrained/{name}-{digest}.log",
    benchmark:
        "logs/pretrained/{name}-{digest}.tsv"


use rule generator as outlier_filter with:
    output:
        "artifacts/outlier_filter/{name}/{digest}/manifest.json",
    log:
        "logs/outlier_filter/{name}-{digest}.log",
    benchmark:
        "logs/outlier_filter/{name}-{digest}.tsv"


use rule generator as detector with:
    output:
        "artifacts/detector/{name}/{digest}/manifest.json",
    log:
        "logs/detector/{name}-{digest}.log",
    benchmark:
        "logs/detector/{name}-{digest}.tsv"
    priority: 0
