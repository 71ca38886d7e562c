"""What each classifier is built from: settings of `detector`, of the GRU those of `detector.gru`.

Imports no torch: the plan writes these into specs.
"""

from collections.abc import Mapping

SHAPES = {
    "resnet": ("depth", "width", "stem"),
    "wideresnet": ("depth", "width", "dropout"),
    "vit_b16": ("dropout",),
    "resnet101": (),
    "gru": ("embedding", "hidden", "layers", "lead"),
}
SHAPING = frozenset(key for keys in SHAPES.values() for key in keys)
# Where a classifier that is none of these comes from: one key of the mapping that describes it.
SOURCES = ("timm", "torchvision", "openood", "transformers", "python", "onnx")
OUTSIDE = ("transformers", "python", "onnx")  # those that are files


def source_of(description: Mapping) -> str:
    """Return which of SOURCES a mapping names."""
    (kind,) = (source for source in SOURCES if description.get(source) is not None)
    return kind


def reads_texts(network: str | Mapping) -> bool:
    """Whether a detector's network, by its description, reads texts."""
    if isinstance(network, Mapping):
        return "mean" not in network
    return network == "gru"
