"""What an augmentation means to those that plan. Imports nothing heavy."""


def views(augment: str) -> int:
    """Return how many augmented copies of each ID picture a training step shows."""
    return 2 if augment == "contrastive" else 1


def resizes_parts(augment: str) -> bool:
    """Whether an augmentation shows resized parts, and so gains from whole pictures."""
    return augment in ("resized_crop", "contrastive")
