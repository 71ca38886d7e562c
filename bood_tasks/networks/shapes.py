"""What each classifier is built from: settings of `detector`, of the GRU those of `detector.gru`.

Imports no torch: the plan writes these into specs.
"""

SHAPES = {
    "resnet": ("depth", "width", "stem"),
    "wideresnet": ("depth", "width", "dropout"),
    "vit_b16": ("dropout",),
    "resnet101": (),
    "gru": ("embedding", "hidden", "layers", "lead"),
}
SHAPING = frozenset(key for keys in SHAPES.values() for key in keys)
