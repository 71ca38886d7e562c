use rule dataset as anchors with:
    output:
        "artifacts/anchors/{name}/{digest}/manifest.json",
    log:
        "logs/anchors/{name}-{digest}.log",
    benchmark:
        "logs/anchors/{name}-{digest}.tsv"
    priority: 10


use rule generator as encoder with:
    output:
        "artifacts/encoder/{name}/{digest}/manifest.json",
    log:
        "logs/encoder/{name}-{digest}.log",
    benchmark:
        "logs/encoder/{name}-{digest}.tsv"


use rule generator as features with:
    output:
        "artifacts/features/{name}/{digest}/manifest.json",
    log:
        "logs/features/{name}-{digest}.log",
    benchmark:
        "logs/features/{name}-{digest}.tsv"


use rule generator as distances with:
    output:
        "artifacts/distances/{name}/{digest}/manifest.json",
    log:
        "logs/distances/{name}-{digest}.log",
    benchmark:
        "logs/distances/{name}-{digest}.tsv"


use rule generator as ood_features with:
    output:
        "artifacts/ood_features/{name}/{digest}/manifest.json",
    log:
        "logs/ood_features/{name}-{digest}.log",
    benchmark:
        "logs/ood_features/{name}-{digest}.tsv"
    priority: 10


use rule generator as images with:
    output:
        "artifacts/images/{name}/{digest}/manifest.json",
    log:
        "logs/images/{name}-{digest}.log",
    benchmark:
        "logs/images/{name}-{digest}.tsv"


use rule generator as gan_images with:
    output:
        "artifacts/gan_images/{name}/{digest}/manifest.json",
    log:
        "logs/gan_images/{name}-{digest}.log",
    benchmark:
        "logs/gan_images/{name}-{digest}.tsv"


use rule generator as texts with:
    output:
        "artifacts/texts/{name}/{digest}/manifest.json",
    log:
        "logs/texts/{name}-{digest}.log",
    benchmark:
        "logs/texts/{name}-{digest}.tsv"
    priority: 0


use rule generator as trajectory with:
    output:
        "artifacts/trajectory/{name}/{digest}/manifest.json",
    log:
        "logs/trajectory/{name}-{digest}.log",
    benchmark:
        "logs/trajectory/{name}-{digest}.tsv"
    priority: 0


use rule generator as strips with:
    output:
        "artifacts/strips/{name}/{digest}/manifest.json",
    log:
        "logs/strips/{name}-{digest}.log",
    benchmark:
        "logs/strips/{name}-{digest}.tsv"
    priority: 0
