use rule generator as outputs with:
    output:
        "artifacts/outputs/{name}/{digest}/manifest.json",
    log:
        "logs/outputs/{name}-{digest}.log",
    benchmark:
        "logs/outputs/{name}-{digest}.tsv"
    priority: 0


use rule generator as scores with:
    output:
        "artifacts/scores/{name}/{digest}/manifest.json",
    log:
        "logs/scores/{name}-{digest}.log",
    benchmark:
        "logs/scores/{name}-{digest}.tsv"
    priority: 0


use rule generator as epochs with:
    output:
        "artifacts/epochs/{name}/{digest}/manifest.json",
    log:
        "logs/epochs/{name}-{digest}.log",
    benchmark:
        "logs/epochs/{name}-{digest}.tsv"
    priority: 0


use rule generator as outlier_distance with:
    output:
        "artifacts/outlier_distance/{name}/{digest}/manifest.json",
    log:
        "logs/outlier_distance/{name}-{digest}.log",
    benchmark:
        "logs/outlier_distance/{name}-{digest}.tsv"
    priority: 0


use rule dataset as pixel_statistics with:
    output:
        "artifacts/pixel_statistics/{name}/{digest}/manifest.json",
    log:
        "logs/pixel_statistics/{name}-{digest}.log",
    benchmark:
        "logs/pixel_statistics/{name}-{digest}.tsv"


use rule dataset as text_statistics with:
    output:
        "artifacts/text_statistics/{name}/{digest}/manifest.json",
    log:
        "logs/text_statistics/{name}-{digest}.log",
    benchmark:
        "logs/text_statistics/{name}-{digest}.tsv"


use rule dataset as metrics_artifact with:
    output:
        "artifacts/metrics/{name}/{digest}/manifest.json",
    log:
        "logs/metrics/{name}-{digest}.log",
    benchmark:
        "logs/metrics/{name}-{digest}.tsv"


use rule generator as outlier_statistics with:
    output:
        "artifacts/outlier_statistics/{name}/{digest}/manifest.json",
    log:
        "logs/outlier_statistics/{name}-{digest}.log",
    benchmark:
        "logs/outlier_statistics/{name}-{digest}.tsv"
