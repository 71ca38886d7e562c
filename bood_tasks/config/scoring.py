"""The settings of the scores that have any. Used by config."""

from typing import Any, Literal

from pydantic import Field

from bood_tasks.config.fields import AutoCount, Count, Magnitudes, Percentile, Positive, Section


class Odin(Section):
    """ODIN: softmax at a temperature, of pictures moved along the sign of the gradient."""

    temperature: Positive = Field(1000.0, description="Temperature of the softmax.")
    magnitudes: Magnitudes = Field(
        [0.0, 0.0025, 0.005, 0.01, 0.02, 0.04],
        description="Step lengths tried, in units of the network's input, four times those of "
        "pixels in [0, 1]: the paper's 0.0014 is 0.0056 here. The one with the lowest FPR95 on "
        "the validation sets is taken.",
    )


class Mahalanobis(Section):
    """Mahalanobis: nearness to a class mean, of pictures moved along the sign of its gradient."""

    magnitudes: Magnitudes = Field(
        [0.0],
        description="Step lengths tried, in units of the network's input, four times those of "
        "pixels in [0, 1]; [0] = pictures stay as they are. Of several, the one with the lowest "
        "FPR95 on the validation sets is taken.",
    )


class GodinScore(Section):
    """GODIN's score: the largest numerator, of pictures moved along the sign of the gradient."""

    magnitudes: Magnitudes = Field(
        [0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32],
        description="Step lengths tried, in units of the network's input: 4 times the length for "
        "pixels in [0, 1], in which papers give it. The one with the largest mean score on ID "
        "validation pictures is taken.",
    )


class Knn(Section):
    """Distance to the k-th nearest training feature."""

    neighbours: AutoCount = Field(
        50,
        description="The k of the distance to the k-th nearest training feature; auto = a quarter "
        "of the smallest class's training data, at most 50.",
    )


class Vim(Section):
    """Energy less the scaled norm of the feature's residual outside the principal space."""

    dimension: Count | None = Field(
        None, description="Dimension of the principal space; null = the paper's rule."
    )


class React(Section):
    """Energy of clipped features."""

    percentile: Percentile = Field(
        90.0,
        description="Percentile of the training activations at which features are clipped, in "
        "(0, 100).",
    )


class Dice(Section):
    """Energy by the weights that contribute most to the logits."""

    sparsity: Percentile = Field(
        90.0, description="Percent of the last layer's weights that are set to zero, in (0, 100)."
    )


class Scoring(Section):
    """Settings of the scores. What is fitted is fitted on ID data; what is chosen, on the
    validation sets."""

    odin: Odin = Odin()
    mahalanobis: Mahalanobis = Mahalanobis()
    godin: GodinScore = GodinScore()
    knn: Knn = Knn()
    vim: Vim = Vim()
    react: React = React()
    dice: Dice = Dice()


class OwnScore(Section):
    """A post-hoc score of your own, in a Python file."""

    module: str = Field(
        description="Path of the Python file, which defines `score(outputs, state)` and, if it is "
        "fitted to the training split, `fit(training)`."
    )
    settings: dict[str, Any] = Field(
        {}, description="Keyword arguments of `score` and, if there is one, of `fit`."
    )


class Metrics(Section):
    """How FPR95 is read from the scores."""

    threshold: Literal["first", "nearest"] = Field(
        "first",
        description="Point of the ROC curve at which FPR95 is read: first = the first with a "
        "true positive rate of at least 0.95, nearest = the one nearest to 0.95.",
    )
