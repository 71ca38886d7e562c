"""Classifiers for 224 pixels whose released weights GOE starts from: ViT-B/16 and ResNet-101.

They are timm's and torchvision's own classes, so that weights load under their published names.
"""

import torchvision
from jaxtyping import Float
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from bood_tasks.networks.pixels import renormalised

HALF = (0.5, 0.5, 0.5)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ViT(VisionTransformer):
    """timm's vit_base_patch16_224 (Dosovitskiy et al. 2021), 224-pixel pictures.

    `dropout` follows the position embedding and every linear layer of a block, but for the three
    that make queries, keys and values: where pytorch-ood's ViT, which GOE fine-tunes, has it.
    """

    def __init__(self, *, outputs: int, dropout: float):
        super().__init__(
            img_size=224, patch_size=16, embed_dim=768, depth=12, num_heads=12,
            num_classes=outputs, pos_drop_rate=dropout, proj_drop_rate=dropout,
        )  # fmt: skip

    def stages(self, x: Float[Tensor, "b 3 224 224"]) -> list[Float[Tensor, "b 768"]]:
        """Return the penultimate features: the class token after the last norm."""
        features = self.forward_features(renormalised(x, HALF, HALF))
        return [self.forward_head(features, pre_logits=True)]

    def forward(self, x: Float[Tensor, "b 3 224 224"]) -> Float[Tensor, "b o"]:
        return self.head(self.stages(x)[-1])


class ResNet101(torchvision.models.ResNet):
    """torchvision's ResNet-101 (He et al. 2016)."""

    def __init__(self, *, outputs: int):
        block = torchvision.models.resnet.Bottleneck
        super().__init__(block, [3, 4, 23, 3], num_classes=outputs)

    @property
    def head(self) -> nn.Linear:
        return self.fc

    def stages(self, x: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _"]]:
        """Return pooled features after each stage; the last are the penultimate ones."""
        x = self.relu(self.bn1(self.conv1(renormalised(x, IMAGENET_MEAN, IMAGENET_STD))))
        x, found = self.maxpool(x), []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            found.append(x.mean((2, 3)))
        return found

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b o"]:
        return self.fc(self.stages(x)[-1])
