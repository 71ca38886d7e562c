"""The settings of the detectors and of the methods that train them. Used by root."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, model_validator

from bood_tasks.config.fields import (
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
from bood_tasks.config.methods import (
    Ascood,
    Gan,
    Gcos,
    Hamos,
    Npos,
    OutlierExposure,
    Vos,
)
from bood_tasks.config.training import Training
from bood_tasks.networks.shapes import SOURCES, source_of


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


Channels = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]],
                     Field(min_length=3, max_length=3)]  # fmt: skip


class GivenNetwork(Section):
    """A classifier of somebody else's: exactly one of the first six says where it comes from."""

    timm: str | None = Field(
        None, description="Name of a model of timm; null = it is no model of timm."
    )
    torchvision: str | None = Field(
        None,
        description="Name of a classification model of torchvision; null = it is none of these.",
    )
    openood: str | None = Field(
        None,
        description="`resnet18_32x32` or `resnet18_224x224`, with OpenOOD's parameter names; null "
        "= it is none of these.",
    )
    transformers: str | None = Field(
        None,
        description="Folder of a transformers model for image or text classification (config.json; "
        "of texts tokenizer.json too); null = it is no such model.",
    )
    python: str | None = Field(
        None,
        description="`file.py:build`, a function of a Python file that takes the number of classes "
        "and returns a torch.nn.Module from pictures [n, 3, h, w] or tokens [n, l] to logits; "
        "null = it is no file of Python.",
    )
    onnx: str | None = Field(
        None,
        description="ONNX file from pictures [n, 3, h, w] to logits, which runs on the CPU and "
        "cannot be trained; null = it is no such file.",
    )
    mean: Channels | None = Field(
        None,
        description="Mean of the pixels in [0, 1] that its weights were trained with, a number a "
        "channel; null = the library's. A Python or ONNX file has none of its own.",
    )
    std: Channels | None = Field(
        None,
        description="Standard deviation of those pixels, by which they are divided; null = the "
        "library's.",
    )
    classes: list[str] | None = Field(
        None,
        description="Names of the classes in the order of the weights' logits, by which these are "
        "brought into the data set's order; null = those of transformers' id2label, else they are "
        "in that order already.",
    )
    features: str | None = Field(
        None,
        description="Name of the ONNX file's output that holds the penultimate features; null = it "
        "has none.",
    )
    settings: dict[str, Any] = Field(
        {}, description="Keyword arguments of the library's or the file's function that builds it."
    )

    @property
    def source(self) -> str:
        """Which of SOURCES it comes from."""
        return source_of(self.model_dump(include=set(SOURCES)))

    @property
    def named(self) -> str:
        """The network in words."""
        return f"{self.source}: {getattr(self, self.source)}"

    @model_validator(mode="after")
    def _one_source(self) -> "GivenNetwork":
        given = [name for name in SOURCES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"must have one of {', '.join(SOURCES)}, got {' and '.join(given) or 'none'}; "
                "write null for one that another file sets"
            )
        kind = given[0]
        if kind == "python" and not all(self.python.rpartition(":")):
            raise ValueError(f"python must be `file.py:function`, got {self.python!r}")
        if self.std is not None and min(self.std) <= 0:
            raise ValueError(f"std must be above 0, got {self.std}")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std must be given together, got one of them")
        if kind == "onnx" and self.mean is None:
            raise ValueError(
                "mean and std must be given for an ONNX file: what its pictures were scaled by "
                "(mean [0, 0, 0], std [1, 1, 1] = pixels in [0, 1])"
            )
        for name, source in (("features", "onnx"),):
            if getattr(self, name) is not None and kind != source:
                raise ValueError(f"{name} must be null unless {source} is given, got {kind}")
        if kind == "onnx" and self.settings:
            raise ValueError("settings must be empty for an ONNX file, which is built already")
        return self


class Pixmix(Section):
    """PixMix (Hendrycks et al. 2022): ID training pictures are mixed with others."""

    set: Name | None = Field(
        None,
        description="Data set, or outlier source (images, gan, one of `sources`), whose pictures "
        "are mixed into the ID pictures of training; null = nothing is. No set that is tested on. "
        "The paper's is of fractals.",
    )
    rounds: Count = Field(4, description="Largest number of mixtures of a picture (the paper's k).")
    beta: Positive = Field(
        3.0, description="Severity of the mixtures: the larger, the more is left of the ID picture."
    )
    severity: Annotated[float, Field(ge=0.1, le=10)] = Field(
        3.0,
        description="Largest level of the operations that change a picture before it is mixed, 0.1 "
        "to 10.",
    )


NAMED, GIVEN = "(name)", "(mapping)"  # so an error is of the one kind that was meant
Network = Annotated[
    Annotated[Literal["resnet", "wideresnet", "vit_b16", "resnet101", "gru"], Tag(NAMED)]
    | Annotated[GivenNetwork, Tag(GIVEN)],
    Discriminator(lambda value: GIVEN if isinstance(value, Mapping | BaseModel) else NAMED),
]


class Detector(Training):
    """Training of the rows' classifiers by equation 7: cross-entropy and a term of the outliers."""

    network: Network = Field(
        "resnet",
        description="Architecture of the classifier; vit_b16 and resnet101 start from local "
        "weights (`detector.pretrained`), gru is for texts. Or a classifier of somebody else's: "
        "{timm: NAME}, {torchvision: NAME}, {openood: NAME}, {transformers: FOLDER}, "
        "{python: file.py:build} or {onnx: FILE}.",
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
    soft_labels: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="Share, in [0, 1], of the cosine classifier's class probabilities in the soft "
        "labels that the classifier learns on outliers; the rest is uniform, as all of it is for "
        "outliers that no vector was decoded to; null = no soft labels. Not in the paper.",
    )
    soft_weight: NonNegative = Field(
        0.5, description="Weight of the cross-entropy to the soft labels, if there are any."
    )
    distance_margin: NonNegative | None = Field(
        None,
        description="How much lower phi of an outlier must be for each unit of its margin beyond "
        "the boundary, in cosines; outliers that no vector was decoded to count as 1; null = no "
        "such margin. Not in the paper.",
    )
    batch_norm: Literal["moving", "kept"] = Field(
        "moving",
        description="Means and variances of batch norm in training: moving = those of each batch, "
        "outliers among it, and the stored ones follow; kept = the stored ones of the network that "
        "the training starts from, so that outliers unlike any picture do not move them.",
    )
    outlier_fit: Literal["resize", "crop"] = Field(
        "resize",
        description="How outlier pictures reach the training resolution: resize = each once, crop "
        "= at every step a random part of the picture as it is, by `augment` (DreamOOD's code).",
    )
    outlier_kernel: Literal["image", "random"] = Field(
        "image",
        description="Interpolation by which generated outliers are resized once: image = "
        "`image.kernel`, random = nearest, box, bilinear, bicubic or lanczos, drawn for each "
        "picture, so that the detector cannot learn the one kernel. A data set has a setting of "
        "its own, `shrink`.",
    )
    start: Name | None = Field(
        None,
        description="Row whose trained classifier the training starts from; null = random weights.",
    )
    pixmix: Pixmix = Pixmix()
    gan: Gan = Gan()
    vos: Vos = Vos()
    npos: Npos = Npos()
    hamos: Hamos = Hamos()
    gcos: Gcos = Gcos()
    ascood: Ascood = Ascood()
    outlier_exposure: OutlierExposure = OutlierExposure()

    @model_validator(mode="after")
    def _has_statistics(self) -> "Detector":
        if self.batch_norm == "kept" and not (self.start or self.pretrained):
            raise ValueError(
                "batch_norm must be moving without start or pretrained, got kept: random weights "
                "have no means and variances to keep"
            )
        return self

    @model_validator(mode="after")
    def _network_exists(self) -> "Detector":
        if self.network == "resnet" and self.depth not in (18, 34, 50):
            raise ValueError(f"depth must be 18, 34 or 50 for a ResNet, got {self.depth}")
        if self.network == "wideresnet" and (self.depth < 10 or self.depth % 6 != 4):
            raise ValueError(
                f"depth must be 6 n + 4 for a WideResNet, as 40 or 28, got {self.depth}"
            )
        if isinstance(self.network, GivenNetwork) and self.network.onnx is not None:
            if self.epochs or self.pretrained or self.start:
                raise ValueError(
                    "network.onnx must be used as it is, with epochs: 0 and without pretrained or "
                    f"start, got epochs {self.epochs}: an ONNX file cannot be trained"
                )
        elif self.epochs == 0 and self.pretrained is None:
            raise ValueError("epochs must be at least 1 without pretrained weights, got 0")
        return self
