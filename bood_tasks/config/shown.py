"""Whether what training shows beside the ID pictures fits: kernels of outliers, a mixing set."""

from bood_tasks.config.datasets import is_text
from bood_tasks.config.explain import closest
from bood_tasks.config.root import Config
from bood_tasks.config.synthesis import GENERATED


def check_shown(changed: Config, name: str) -> None:
    """Raise ValueError for settings of a row, whose overrides `changed` holds, that cannot be."""
    _check_kernel(changed, name)
    _check_mixing(changed, name)


def _check_kernel(changed: Config, name: str) -> None:
    """Raise ValueError for a random kernel where outliers are not resized, but cropped."""
    item = changed.detector
    if item.outlier_kernel == "random" and item.outlier_fit == "crop":
        raise ValueError(
            f"detector.outlier_kernel must be image for row {name} while detector.outlier_fit is "
            "crop, which resizes nothing, got random"
        )


def _check_mixing(changed: Config, name: str) -> None:
    """Raise ValueError for a mixing set that is none, holds texts, or is tested on."""
    chosen, setting = changed.detector.pixmix.set, f"detector.pixmix.set of row {name}"
    if chosen is None:
        return
    if is_text(changed.datasets[changed.id]):
        raise ValueError(f"{setting} must be null for texts, got {chosen!r}")
    kind = changed.kind_of(chosen)
    known = {"images", "gan", *changed.sources, *changed.datasets}
    if chosen not in known or kind == "texts":
        raise ValueError(
            f"{setting} must name a data set or a source of pictures, got {chosen!r}"
            f"{closest(chosen, known)}"
        )
    if kind in GENERATED:
        return
    if is_text(changed.datasets[kind]):
        raise ValueError(f"{setting} must name pictures, got {chosen!r}, which holds texts")
    for role in ("test", "validation", "control"):
        if kind in getattr(changed, role):
            raise ValueError(
                f"{setting} must name no set that is judged on, got {chosen!r}, which is one of "
                f"`{role}`: training would see it"
            )
