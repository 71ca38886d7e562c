"""A classifier by its settings."""

from collections.abc import Mapping
from pathlib import Path

from torch import nn

from bood_tasks.networks.resnet import ResNet
from bood_tasks.networks.shapes import SHAPES


def network(description: Mapping, folder: Path | None = None) -> nn.Module:
    """Return the untrained classifier that a detector's `method.json` describes; `folder` holds the
    files of one of somebody else's."""
    name = description["network"]
    if isinstance(name, Mapping):
        from bood_tasks.networks.libraries import given_network

        return given_network(name, description["classes"], folder)
    given = {"lead": 0} | description  # older text classifiers have none
    shape = {key: given[key] for key in SHAPES[name]} | {"outputs": description["classes"]}
    match name:  # imported where asked for: timm and torchvision take seconds
        case "resnet":
            return ResNet(**shape)
        case "wideresnet":
            from bood_tasks.networks.wide_resnet import WideResNet

            return WideResNet(**shape)
        case "gru":
            from bood_tasks.networks.gru import GRUClassifier

            return GRUClassifier(vocabulary=description["vocabulary"], **shape)
    from bood_tasks.networks import released as released_networks

    return {"vit_b16": released_networks.ViT, "resnet101": released_networks.ResNet101}[name](
        **shape
    )
