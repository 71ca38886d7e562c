"""The settings of the training methods that have any, and methods of one's own. Used by config."""

from typing import Annotated, Any, Literal

from pydantic import Field

from bood_tasks.catalogue import CATALOGUE
from bood_tasks.config_fields import (
    Count,
    NonNegative,
    Positive,
    ScoreName,
    Section,
    Share,
)


class Gan(Section):
    """Classifier, generator and discriminator trained jointly (Lee et al. 2018a)."""

    width: Count = Field(16, description="channels at full resolution; DCGAN's 64")
    kl_weight: NonNegative = Field(1.0, description="beta, of the KL divergence to uniform")


class Vos(Section):
    """Virtual outliers from class-conditional Gaussians (Du et al. 2022)."""

    queue: Count = Field(1000, description="last features kept of each class")
    candidates: Count = Field(10_000, description="drawn of each class at every step")
    selected: Count = Field(1, description="of them, the least likely, are outliers")
    weight: NonNegative = Field(0.1, description="beta, of the uncertainty term")
    start: Share = Field(0.4, description="share of training before the first outliers")


class Npos(Section):
    """Outliers beside the embeddings of lowest density (Tao et al. 2023), on CIDER's embedding."""

    embedding: Count = Field(128, description="its dimension")
    temperature: Positive = 0.1
    prototype_momentum: Share = Field(0.95, description="of the class prototypes, a batch")
    dispersion_weight: NonNegative = Field(0.5, description="of DispLoss beside CompLoss")
    queue: Count = Field(1000, description="last embeddings kept of each class")
    neighbours: Count = Field(100, description="k, of the distance to the k-th neighbour")
    boundary: Count = Field(50, description="outermost embeddings of each class")
    points: Count = Field(2, description="of them, drawn at every step")
    candidates: Count = Field(600, description="Gaussian steps from each")
    sigma: Positive = Field(0.1, description="their standard deviation")
    outlier_weight: NonNegative = Field(0.1, description="of the loss of phi")
    start: Share = Field(0.4, description="share of training before the first outliers")


class OutlierExposure(Section):
    """Cross-entropy, and cross-entropy to the uniform distribution on outliers (Hendrycks 2019)."""

    loss_weight: NonNegative = Field(0.5, description="lambda")
    weighting: Literal["batch", "balanced"] = Field(
        "batch",
        description="batch: one shuffled loader, mean over the whole batch, so the number of "
        "outliers counts (GOE); balanced: as many outliers as ID rows a step, a mean of each",
    )


def per_class(dataset: Any) -> int | None:
    """Return how many training pictures a class has at most, None if that is not known."""
    given, entry = getattr(dataset, "train_per_class", None), CATALOGUE.get(dataset.kind)
    counted = entry.counts.get("train") if entry else None
    held = counted // entry.classes - dataset.validation_per_class if counted else None
    return min((count for count in (given, held) if count), default=None)


def require_full_queue(own: Vos | Npos, place: str, *, epochs: int, pictures: int) -> None:
    """Raise ValueError if a class's queue cannot be full when the first outliers are drawn."""
    most = round(own.start * epochs * pictures)
    if own.queue > most:
        raise ValueError(
            f"{place}.queue must be at most {most}, which a class of {pictures} pictures fills in "
            f"the share {own.start:g} of {epochs} epochs, got {own.queue}; lower it, or raise "
            f"{place}.start or detector.epochs"
        )


class OwnMethod(Section):
    """A training method of one's own: a Python file whose METHOD is a bood_tasks.method.Method."""

    module: str = Field(description="path of the file")
    outliers: str = Field("none", description="of its rows: none, images, or a data set's name")
    scores: Annotated[list[ScoreName], Field(min_length=1)] = ["energy"]
    settings: dict[str, Any] = Field({}, description="keyword arguments of the class")
