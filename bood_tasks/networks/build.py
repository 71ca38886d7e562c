"""A classifier by its settings."""

from collections.abc import Mapping

from torch import nn

from bood_tasks.networks.resnet import ResNet


def network(description: Mapping) -> nn.Module:
    """Return the untrained classifier that a detector's `method.json` describes."""
    keys = {
        "resnet": ("depth", "width", "stem"),
        "wideresnet": ("depth", "width", "dropout"),
        "vit_b16": ("dropout",),
        "gru": ("vocabulary", "embedding", "hidden", "layers"),
    }
    name, outputs = description["network"], description["classes"]
    shape = {key: description[key] for key in keys.get(name, ())} | {"outputs": outputs}
    match name:  # imported where asked for: timm and torchvision take seconds
        case "resnet":
            return ResNet(**shape)
        case "wideresnet":
            from bood_tasks.networks.wide_resnet import WideResNet

            return WideResNet(**shape)
        case "gru":
            from bood_tasks.networks.gru import GRUClassifier

            return GRUClassifier(**shape, lead=description.get("lead", 0))  # older ones: none
    from bood_tasks.networks import released as released_networks

    return {"vit_b16": released_networks.ViT, "resnet101": released_networks.ResNet101}[name](
        **shape
    )
