"""The settings of the scores that have any. Used by config."""

from typing import Literal

from pydantic import Field

from bood_tasks.config.fields import Count, Magnitudes, Percentile, Positive, Section


class Odin(Section):
    """ODIN: softmax at a temperature, of pictures moved along the gradient's sign."""

    temperature: Positive = 1000.0
    magnitudes: Magnitudes = Field(
        [0.0, 0.0025, 0.005, 0.01, 0.02, 0.04],
        description="steps tried, in units of the network's input; the one with the lowest FPR95 "
        "on the validation sets is taken",
    )


class GodinScore(Section):
    """GODIN's score: the largest numerator, of pictures moved along the gradient's sign."""

    magnitudes: Magnitudes = Field(
        [0.0, 0.0025, 0.005, 0.01, 0.02, 0.04],
        description="steps tried; the one with the largest mean score on ID validation is taken",
    )


class Knn(Section):
    """Distance to the k-th nearest training feature."""

    neighbours: Count = Field(50, description="k")


class Vim(Section):
    """Energy less the scaled norm of the features' residual."""

    dimension: Count | None = Field(
        None, description="of the principal space; null = the paper's rule"
    )


class React(Section):
    """Energy of clipped features."""

    percentile: Percentile = Field(90.0, description="of the training activations: the clip")


class Dice(Section):
    """Energy by the largest contributions to the logits alone."""

    sparsity: Percentile = Field(90.0, description="percent of the weights set to zero")


class Scoring(Section):
    """The scores' settings. What is chosen is chosen on ID data or the validation sets."""

    odin: Odin = Odin()
    godin: GodinScore = GodinScore()
    knn: Knn = Knn()
    vim: Vim = Vim()
    react: React = React()
    dice: Dice = Dice()


class Metrics(Section):
    """How figures are read off the scores."""

    threshold: Literal["first", "nearest"] = Field(
        "first", description="ROC point for FPR95: first with TPR >= .95, or the nearest"
    )
