"""The settings of the detectors and of the methods that train them. Used by root."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bood_tasks.config.fields import (
    Count,
    Name,
    Natural,
    NonNegative,
    Positive,
    ScoreName,
    Section,
    Share,
)
from bood_tasks.config.training import Training


class Gan(Section):
    """Classifier, generator and discriminator trained jointly (Lee et al. 2018a)."""

    width: Count = Field(16, description="channels at full resolution; DCGAN's 64")
    kl_weight: NonNegative = Field(1.0, description="beta, of the KL divergence to uniform")


class Queued(Section):
    """Settings of a method that needs each class's last features before its outliers begin."""

    queue: Count = Field(1000, description="last features or embeddings kept of each class")
    start: Share = Field(0.4, description="share of training before the first outliers")


class Vos(Queued):
    """Virtual outliers from class-conditional Gaussians (Du et al. 2022)."""

    candidates: Count = Field(10_000, description="drawn of each class at every step")
    selected: Count = Field(1, description="of them, the least likely, are outliers")
    weight: NonNegative = Field(0.1, description="beta, of the uncertainty term")


class Npos(Queued):
    """Outliers beside the embeddings of lowest density (Tao et al. 2023), on CIDER's embedding."""

    embedding: Count = Field(128, description="its dimension")
    temperature: Positive = 0.1
    prototype_momentum: Share = Field(0.95, description="of the class prototypes, a batch")
    dispersion_weight: NonNegative = Field(0.5, description="of DispLoss beside CompLoss")
    neighbours: Count = Field(100, description="k, of the distance to the k-th neighbour")
    boundary: Count = Field(50, description="outermost embeddings of each class")
    points: Count = Field(2, description="of them, drawn at every step")
    candidates: Count = Field(600, description="Gaussian steps from each")
    sigma: Positive = Field(0.1, description="their standard deviation")
    outlier_weight: NonNegative = Field(0.1, description="of the loss of phi")


class OutlierExposure(Section):
    """Cross-entropy, and cross-entropy to the uniform distribution on outliers (Hendrycks 2019)."""

    loss_weight: NonNegative = Field(0.5, description="lambda")
    weighting: Literal["batch", "balanced"] = Field(
        "batch",
        description="batch: one shuffled loader, mean over the whole batch, so the number of "
        "outliers counts (GOE); balanced: as many outliers as ID rows a step, a mean of each",
    )


class OwnMethod(Section):
    """A training method of one's own: a Python file whose METHOD is a bood_tasks.Method."""

    module: str = Field(description="path of the file")
    outliers: str = Field("none", description="of its rows: none, images, or a data set's name")
    scores: Annotated[list[ScoreName], Field(min_length=1)] = ["energy"]
    settings: dict[str, Any] = Field({}, description="keyword arguments of the class")


class Gru(Section):
    """The text classifier: embedding, GRU, linear layer (Hendrycks & Gimpel 2017)."""

    embedding: Count = 50
    hidden: Count = 128
    layers: Count = 2


class Detector(Training):
    """How the rows' classifiers are trained; `ood_weight`, `reduction` and `phi` are equation 7's:
    CE + beta * OOD term, both kinds of row in one forward pass."""

    network: Literal["resnet", "wideresnet", "vit_b16", "resnet101", "gru"] = Field(
        "resnet", description="vit_b16 and resnet101 take local weights: `pretrained`"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(0.3, description="of a WideResNet")
    gru: Gru = Gru()
    epochs: Natural = Field(8, description="0: a pretrained network as it is")
    pretrained: str | None = Field(
        None, description="file or folder of local weights to start from; null = none"
    )
    new_head: bool = Field(False, description="the pretrained last layer is replaced")
    snapshots: bool = Field(False, description="keep the weights of every epoch (GOE's figure 4)")
    ood_weight: NonNegative = Field(2.5, description="beta")
    reduction: Literal["mean", "sum"] = "mean"
    phi: Literal["mlp", "linear", "increasing"] = Field(
        "mlp", description="what reads the energy; only `increasing` cannot turn it round"
    )
    start: Name | None = Field(
        None, description="the row whose trained classifier it starts from; null = random weights"
    )
    gan: Gan = Gan()
    vos: Vos = Vos()
    npos: Npos = Npos()
    outlier_exposure: OutlierExposure = OutlierExposure()

    @model_validator(mode="after")
    def _network_exists(self) -> "Detector":
        if self.network == "resnet" and self.depth not in (18, 34, 50):
            raise ValueError(f"depth must be 18, 34 or 50 for a ResNet, got {self.depth}")
        if self.network == "wideresnet" and (self.depth < 10 or self.depth % 6 != 4):
            raise ValueError(
                f"depth must be 6 n + 4 for a WideResNet, as 40 or 28, got {self.depth}"
            )
        if self.epochs == 0 and self.pretrained is None:
            raise ValueError("epochs must be at least 1 without pretrained weights, got 0")
        return self
