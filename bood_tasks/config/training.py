"""The settings of training that encoder and detectors share. Used by root."""

from typing import Annotated, Literal

from pydantic import Field

from bood_tasks.config.fields import Count, Natural, NonNegative, Positive, Section


class Training(Section):
    """What encoder and detector share."""

    precision: Literal["fp32", "bf16"] = Field("fp32", description="of the passes in training")
    augment: Literal["shift", "resized_crop"] = Field(
        "shift", description="crops of the padded picture, or of a random part, resized"
    )

    depth: Count = Field(18, description="ResNet-18, -34, -50; a WideResNet's 6 n + 4")
    width: Count = Field(
        16,
        description="channels of the first stage, the papers' 64; a WideResNet's widening factor",
    )
    stem: Literal["cifar", "strided", "imagenet"] = Field(
        "strided", description="3x3 stride 1, 3x3 stride 2, or 7x7 stride 2 with max-pooling"
    )
    epochs: Count = 8
    batch_size: Count = 128
    lr: Positive = 0.1
    weight_decay: NonNegative = 5e-4
    crop_padding: Natural = 2
    flip: bool = True
    clip_norm: Positive = Field(1.0, description="largest norm of a step's whole gradient")
    optimiser: Literal["sgd", "adam"] = "sgd"
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.9, description="of SGD, Nesterov's; 0 = none"
    )
    schedule: Literal["cosine", "constant"] = "cosine"
    steps: Count | None = Field(
        None, description="training ends after so many; null = after all epochs"
    )
