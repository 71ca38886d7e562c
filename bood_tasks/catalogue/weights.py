"""Released weights that settings can name: what each is called, its files, where they stand.

Standard library only: a plan knows them by name and checksum, and needs none at hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

RELEASED = "released:"


@dataclass(frozen=True)
class Released:
    """Weights of one network. `files`: name here, address, and the SHA-256 that is published, or as
    many of its first digits; "" where none is. `source` says where address and checksum stand;
    `side`: pixels a side of the pictures that a generator makes."""

    title: str
    source: str
    files: Mapping[str, tuple[str, str]]
    side: int = 0

    def path_in(self, folder: Path) -> Path:
        """Return the file, or the folder of several, below the folder of data."""
        return folder / next(iter(self.files)) if len(self.files) == 1 else folder

    def holds(self, folder: Path) -> bool:
        """Whether all files are there; whether they are right is told when they are read."""
        return all((folder / name).is_file() for name in self.files)

    def missing(self, setting: str, folder: Path) -> str:
        """Return what to say when the files are not in their folder."""
        told = ", ".join(
            f"{name} from {address} (SHA-256 {checksum or 'none published'})"
            for name, (address, checksum) in self.files.items()
        )
        return (
            f"{setting} ({self.title}) must lie in {folder}, which lacks it; expected there: "
            f"{told}; run `bood fetch`, set run.download: true, put it there, or name a file of "
            f"your own in {setting}"
        )


_ENERGY = "https://github.com/wetliu/energy_ood/raw/master/CIFAR/snapshots/pretrained"
_POOD = "pytorch-ood (src/pytorch_ood/model)"
_BIGGAN = "https://s3.amazonaws.com/models.huggingface.co/biggan/biggan-deep-256"
WEIGHTS = {
    "wrn40_2_cifar10": Released(
        "WideResNet-40-2 of CIFAR-10, pytorch-ood's cifar10-pt",
        f"{_POOD}: the address in wrn.py, the checksum in registry.py",
        {
            "cifar10_wrn_pretrained_epoch_99.pt": (
                f"{_ENERGY}/cifar10_wrn_pretrained_epoch_99.pt",
                "0b59e178577382a0cf5d1e079d1d019f6a33b0801b7d123a59e51b4b32972637",
            )
        },
    ),
    "wrn40_2_cifar100": Released(
        "WideResNet-40-2 of CIFAR-100, pytorch-ood's cifar100-pt",
        f"{_POOD}: the address in wrn.py, the checksum in registry.py",
        {
            "cifar100_wrn_pretrained_epoch_99.pt": (
                f"{_ENERGY}/cifar100_wrn_pretrained_epoch_99.pt",
                "3751f516b81ef9d27290f08a3de78d65a3771f477bd6a6caefa81b330dc34baf",
            )
        },
    ),
    # The next two hold the same weights, Google's of ImageNet-21K and 1K, under different names.
    "vit_b16_224_timm": Released(
        "ViT-B/16 of ImageNet-21K and 1K, timm's vit_base_patch16_224.orig_in21k_ft_in1k",
        "timm (models/vision_transformer.py); the checksum's first digits end the file's name",
        {
            "jx_vit_base_p16_224-80ecf9dd.pth": (
                "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-vitjx/"
                "jx_vit_base_p16_224-80ecf9dd.pth",
                "80ecf9dd",
            )
        },
    ),
    "vit_b16_224_pytorch_ood": Released(
        "ViT-B/16 of ImageNet-21K and 1K, pytorch-ood's b16-im21k-224",
        f"{_POOD}: the address in vit.py of releases until 2023",
        {
            "imagenet21k+imagenet2012_ViT-B_16-224.pth": (
                "https://cse.ovgu.de/files/imagenet21k+imagenet2012_ViT-B_16-224.pth",
                "",
            )
        },
    ),
    "resnet101_v1": Released(
        "ResNet-101 of ImageNet-1K, torchvision's IMAGENET1K_V1",
        "torchvision (models/resnet.py); the checksum's first digits end the file's name",
        {
            "resnet101-63fe2227.pth": (
                "https://download.pytorch.org/models/resnet101-63fe2227.pth",
                "63fe2227",
            )
        },
    ),
    "resnet50_v1": Released(
        "ResNet-50 of ImageNet-1K, torchvision's IMAGENET1K_V1",
        "torchvision (models/resnet.py); the checksum's first digits end the file's name",
        {
            "resnet50-0676ba61.pth": (
                "https://download.pytorch.org/models/resnet50-0676ba61.pth",
                "0676ba61",
            )
        },
    ),
    "biggan_deep_256": Released(
        "BigGAN-deep of ImageNet-1K, 256 pixels, of pytorch-pretrained-biggan",
        "pytorch-pretrained-biggan (model.py, config.py) has the addresses and no checksums; these "
        "are what miloszkolber/uncanny_lab's installer asks for",
        {
            "pytorch_model.bin": (
                f"{_BIGGAN}-pytorch_model.bin",
                "5900ef4065047e3aa0d1b66197b7f2664dceb59b27080e414ad57e203c485bc5",
            ),
            "config.json": (
                f"{_BIGGAN}-config.json",
                "edd106f65ff28ee1638491a978cfa6bc50dfa0344aab70749a7b8eb08bbec677",
            ),
        },
        side=256,
    ),
}
