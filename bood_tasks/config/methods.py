"""The settings of the methods that train detectors, a section for each. Used by detectors."""

from typing import Literal

from pydantic import Field

from bood_tasks.config.fields import (
    AutoCount,
    Count,
    NonNegative,
    Positive,
    Section,
    Share,
)
from bood_tasks.config.samplers import Chains, Shell


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


class Hamos(Queued, Chains):
    """Settings of the method hamos: outliers by Hamiltonian Monte Carlo between the classes of an
    embedding (Li & Zhang 2025). The authors go on from a trained network (`detector.start`)."""

    embedding: Count = Field(128, description="Dimension of CIDER's embedding.")
    temperature: Positive = Field(
        0.1, description="Temperature of the losses that read the class prototypes."
    )
    prototype_momentum: Share = Field(
        0.95, description="Momentum of the class prototypes' moving average, in (0, 1]."
    )
    dispersion_weight: NonNegative = Field(
        0.5, description="Weight of the dispersion loss beside the compactness loss."
    )
    rounds: Count = Field(
        2,
        description="Number of rounds of each chain; the authors have 2 for CIFAR-10, 1 for -100.",
    )
    weight: NonNegative = Field(0.1, description="Weight of the loss of the outliers.")


class Gcos(Queued, Shell):
    """Settings of the method gcos: outliers in a shell off the classes' manifold (Karzanov &
    Detyniecki 2026). Queue, start, weight and number are VOS's."""

    selected: Count = Field(1, description="Number of outliers of each class at every step.")
    weight: NonNegative = Field(0.1, description="Weight of the loss that tells them from ID.")


class Ascood(Section):
    """Settings of the method ascood: outliers out of the ID pictures themselves (Regmi 2024)."""

    outliers: Literal["shuffle", "gradient", "gaussian"] = Field(
        "shuffle",
        description="How an ID picture becomes an outlier: shuffle = the pixels that speak most "
        "for its class change places (the authors' CIFAR scripts), gradient = values are moved "
        "along the gradient of its class's logit, which colours grey pictures, gaussian = noise "
        "in its place.",
    )
    share: Share = Field(
        0.1, description="Share of the pixels or values that are spoilt (the paper's p_inv)."
    )
    weight: NonNegative = Field(
        1.0, description="Weight of the outliers' loss; the authors have 5 for CIFAR-100."
    )
    sigma: Positive = Field(
        0.5, description="Standard deviation of the features that the last layer reads."
    )
    alpha_first: Positive = Field(
        300.0,
        description="Length of the step along the gradient when training begins, in units of the "
        "network's input.",
    )
    alpha_last: Positive = Field(
        30.0, description="The same when training ends; linear in between."
    )
    head_lr: Positive = Field(
        1.0,
        description="Learning rate of the last layer, as a multiple of detector.lr; the authors "
        "have 0.05 for CIFAR-100.",
    )


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
