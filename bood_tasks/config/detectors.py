"""The settings of the detectors and of the methods that train them. Used by root."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bood_tasks.config.fields import (
    AutoCount,
    AutoNatural,
    Count,
    Name,
    Natural,
    NonNegative,
    Positive,
    Section,
    Share,
    WeightsPath,
)
from bood_tasks.config.training import Training


class Gan(Section):
    """Settings of the method gan: classifier, generator and discriminator trained jointly (Lee et
    al. 2018)."""

    width: Count = Field(
        16,
        description="Channels of the generator and discriminator at full resolution; DCGAN has 64.",
    )
    kl_weight: NonNegative = Field(
        1.0,
        description="Weight of the KL divergence to the uniform distribution (the paper's beta).",
    )


class Queued(Section):
    """Settings of a method that needs each class's last features before its outliers begin."""

    queue: AutoCount = Field(
        1000,
        description="Number of features or embeddings kept of each class, the last ones seen; auto "
        "= the training data of the smallest class, at most 1,000.",
    )
    start: Share = Field(
        0.4, description="Share of the training that passes before the first outliers, in (0, 1]."
    )


class Vos(Queued):
    """Settings of the method vos: virtual outliers from class-conditional Gaussians (Du et al.
    2022)."""

    candidates: Count = Field(
        10_000, description="Number of virtual outliers drawn per class at every step."
    )
    selected: Count = Field(
        1, description="Number of candidates per class that become outliers, the least likely ones."
    )
    weight: NonNegative = Field(
        0.1, description="Weight of the uncertainty loss (the paper's beta)."
    )


class Npos(Queued):
    """Settings of the method npos: outliers beside the features of lowest density (Tao et al.
    2023). The defaults are those of the authors' CIFAR-100 script."""

    embedding: Count = Field(128, description="Dimension of CIDER's embedding.")
    temperature: Positive = Field(
        0.1, description="Temperature of the compactness and dispersion losses."
    )
    prototype_momentum: Share = Field(
        0.5, description="Momentum of the class prototypes' moving average, in (0, 1]."
    )
    dispersion_weight: NonNegative = Field(
        0.5, description="Weight of the dispersion loss beside the compactness loss."
    )
    neighbours: AutoCount = Field(
        300,
        description="The k of the distance to the k-th neighbour, by which the outermost are "
        "found; auto = a quarter of the smallest class's training data, at most 300.",
    )
    boundary: AutoCount = Field(
        200,
        description="Number of outermost features of each class; auto = a quarter of the smallest "
        "class's training data, at most 200.",
    )
    points: AutoCount = Field(
        2,
        description="Number of outermost features per class from which outliers are drawn at "
        "every step; auto = 2, or 1 of fewer than 8.",
    )
    candidates: Count = Field(
        600, description="Number of Gaussian steps from each of these points."
    )
    kept: Count = Field(
        200,
        description="Number of candidates of each point that become outliers, those farthest "
        "from their k-th neighbour.",
    )
    sigma: Positive = Field(
        0.1,
        description="Standard deviation of the Gaussian steps, in units of the penultimate "
        "features, which are not normalised.",
    )
    outlier_weight: NonNegative = Field(
        0.1, description="Weight of the loss by which phi tells ID features and outliers apart."
    )
    phi_lr: Positive = Field(1.0, description="Learning rate of phi, as a multiple of detector.lr.")


class OutlierExposure(Section):
    """Settings of the method oe: cross-entropy to the uniform distribution on outliers (Hendrycks
    2019)."""

    loss_weight: NonNegative = Field(
        0.5, description="Weight of the outliers' loss (the paper's lambda)."
    )
    weighting: Literal["batch", "halves", "balanced"] = Field(
        "batch",
        description="How ID pictures and outliers weigh: batch = they are shuffled together "
        "and the loss is a mean over the batch, so the number of outliers counts "
        "(GOE); halves = every step has as many outliers as ID pictures, and one "
        "mean over both (GOE on ImageNet); balanced = the same, and a mean of each.",
    )


class OutlierFilter(Section):
    """Settings of the filter between outliers and detectors: it drops outliers that an ID
    classifier is sure of."""

    max_confidence: Share | None = Field(
        None,
        description="Largest softmax probability of an outlier that detectors still see, in "
        "(0, 1]; null = all outliers are kept.",
    )
    row: Name = Field(
        "ce", description="Name of the row, one without outliers, whose detector judges them."
    )


class OwnMethod(Section):
    """A training method of your own, in a Python file."""

    module: str = Field(
        description="Path of the Python file, whose METHOD is a class derived from `Method`."
    )
    outliers: str = Field(
        "none",
        description="Outliers of a row of this method that names none: none, images, or a "
        "data set.",
    )
    scores: Annotated[list[Name], Field(min_length=1)] = Field(
        ["energy"], description="Scores of a row of this method that names none."
    )
    settings: dict[str, Any] = Field({}, description="Keyword arguments of the class.")


class Gru(Section):
    """The text classifier: embedding, GRU, linear layer (Hendrycks & Gimpel 2017)."""

    embedding: Count = Field(50, description="Dimension of the word embeddings.")
    hidden: Count = Field(128, description="Number of units of each recurrent layer.")
    layers: Count = Field(2, description="Number of recurrent layers.")
    lead: Natural = Field(
        0,
        description="Unknown words that the GRU reads before every text; GOE pads in front with "
        "them.",
    )


class Detector(Training):
    """Training of the rows' classifiers by equation 7: cross-entropy and a term of the outliers."""

    network: Literal["resnet", "wideresnet", "vit_b16", "resnet101", "gru"] = Field(
        "resnet",
        description="Architecture of the classifier; vit_b16 and resnet101 start from local "
        "weights (`detector.pretrained`), gru is for texts.",
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.3, description="Share of activations dropped in a WideResNet or a ViT, in [0, 1)."
    )
    gru: Gru = Gru()
    epochs: AutoNatural = Field(
        8,
        description="Passes over the ID training data; 0 = a pretrained network is used as it is; "
        "auto = for 600 steps, 10 to 100.",
    )
    pretrained: WeightsPath | None = Field(
        None,
        description="Weights to start from: a file or folder, or `released:<name>` of "
        "bood_tasks/catalogue/weights.py; null = none.",
    )
    new_head: bool = Field(
        False,
        description="Whether the last layer of the pretrained network is replaced by an "
        "untrained one.",
    )
    snapshots: bool = Field(
        False, description="Whether the weights after every epoch are kept, for GOE's figure 4."
    )
    ood_weight: NonNegative = Field(
        2.5, description="Weight of the outliers' term in equation 7 (the paper's beta)."
    )
    reduction: Literal["mean", "sum"] = Field(
        "mean", description="How the outliers' term is reduced over a batch."
    )
    phi: Literal["mlp", "linear", "increasing"] = Field(
        "mlp",
        description="Function that reads the energy in the outliers' term; `increasing` is "
        "the only one that cannot turn the energy round.",
    )
    outlier_fit: Literal["resize", "crop"] = Field(
        "resize",
        description="How outlier pictures reach the training resolution: resize = each once, crop "
        "= at every step a random part of the picture as it is, by `augment` (DreamOOD's code).",
    )
    start: Name | None = Field(
        None,
        description="Row whose trained classifier the training starts from; null = random weights.",
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
