"""The settings of training that encoder and detectors share. Used by root."""

from typing import Annotated, Literal

from pydantic import Field

from bood_tasks.config.fields import AutoCount, Count, Natural, NonNegative, Positive, Section


class Training(Section):
    """Training of a classifier: what encoder and detector share."""

    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="Number format of the passes in training."
    )
    augment: Literal["shift", "resized_crop", "contrastive", "none"] = Field(
        "shift",
        description="Random crops in training: shift = of the padded picture, resized_crop = "
        "of a random part, resized, contrastive = two such views of each ID picture, each 20-100 % "
        "of its area, in changed colours, some grey (CIDER, NPOS), none = the centre, as in "
        "testing.",
    )

    depth: Count = Field(
        18, description="Number of layers: 18, 34 or 50 of a ResNet, 6 n + 4 of a WideResNet."
    )
    width: Count = Field(
        16,
        description="Channels of the first stage of a ResNet, 64 in the papers; widening "
        "factor of a WideResNet.",
    )
    stem: Literal["cifar", "strided", "imagenet"] = Field(
        "strided",
        description="First layers: cifar = 3x3 with stride 1, strided = 3x3 with stride 2, "
        "imagenet = 7x7 with stride 2 and max-pooling.",
    )
    epochs: AutoCount = Field(
        8,
        description="Passes over the ID training data; auto = for 600 steps, 10 to 100.",
    )
    batch_size: AutoCount = Field(
        128, description="ID samples per step; auto = a 16th of the training data, 16 to 64."
    )
    lr: Positive = Field(0.1, description="Learning rate at the start.")
    weight_decay: NonNegative = Field(5e-4, description="Weight of the L2 penalty on the weights.")
    crop_padding: Natural = Field(
        2, description="Pixels of border from which `augment: shift` crops."
    )
    flip: bool = Field(
        True, description="Whether training pictures are flipped left to right at random."
    )
    clip_norm: Positive | None = Field(
        1.0,
        description="Largest norm of the network's gradient of a step; a longer one is scaled "
        "down; null = gradients are not clipped. phi's gradient is clipped on its own.",
    )
    optimiser: Literal["sgd", "adam"] = Field(
        "sgd", description="Rule by which the weights are updated."
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.9, description="Nesterov momentum of SGD, in [0, 1); 0 = none."
    )
    schedule: Literal["cosine", "constant"] = Field(
        "cosine",
        description="Course of the learning rate: cosine = it falls to zero, constant = it stays.",
    )
    steps: Count | None = Field(
        None, description="Number of steps after which the training ends; null = after all epochs."
    )
