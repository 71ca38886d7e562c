"""The settings of the scores that have any. Used by config."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bood_tasks.config.fields import (
    AutoCount,
    Count,
    Magnitudes,
    Name,
    Names,
    Percentile,
    Positive,
    Section,
    Share,
)


class Odin(Section):
    """ODIN: softmax at a temperature, of pictures moved along the sign of the gradient."""

    temperature: Positive = Field(1000.0, description="Temperature of the softmax.")
    magnitudes: Magnitudes = Field(
        [0.0, 0.0025, 0.005, 0.01, 0.02, 0.04],
        description="Step lengths tried, in units of the network's input, four times those of "
        "pixels in [0, 1]: the paper's 0.0014 is 0.0056 here. The one with the lowest FPR95 on "
        "the validation sets is taken.",
    )


class Iodin(Section):
    """ODIN of pictures of which one number alone is moved, the steepest (i-ODIN)."""

    temperature: Positive = Field(1000.0, description="Temperature of the softmax.")
    magnitudes: Magnitudes = Field(
        [0.0056, 0.0112, 0.0168, 0.0224, 0.028, 0.0336, 0.0392],
        description="Step lengths tried, in units of the network's input, four times those of "
        "pixels in [0, 1]: the paper's code tries 0.0014 to 0.0098. The one with the lowest FPR95 "
        "on the validation sets is taken.",
    )


class Gen(Section):
    """GEN: minus the generalised entropy of the largest probabilities."""

    gamma: Positive = Field(0.1, description="Exponent of p (1 - p); the paper's is 0.1.")
    classes: Count = Field(
        100, description="Number of largest probabilities that are summed; fewer classes: all."
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


class Nnguide(Section):
    """NNGuide: the energy, times how near the most energetic training features are."""

    neighbours: AutoCount = Field(
        10,
        description="Number of nearest training features whose products are averaged; auto = a "
        "quarter of the smallest class's training data, at most 10.",
    )
    share: Share = Field(
        1.0,
        description="Share of the training features that is kept, in (0, 1]; the paper keeps 0.01 "
        "of ImageNet's.",
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


class Ash(Section):
    """ASH: energy of features of which each sample's largest are left."""

    variant: Literal["s", "p", "b"] = Field(
        "s",
        description="What becomes of the features that are left: s = multiplied by the exponential "
        "of the sum of all over theirs, p = as they are, b = all one number, with the sum of all.",
    )
    percentile: Percentile = Field(
        90.0,
        description="Percentile of a sample's features below which they are set to zero, in "
        "(0, 100); the paper's of ASH-S on ImageNet is 90.",
    )


class Scale(Section):
    """SCALE: energy of features multiplied as ASH-S multiplies them, none set to zero."""

    percentile: Percentile = Field(
        85.0,
        description="Percentile of a sample's features, in (0, 100): they are multiplied by the "
        "exponential of the sum of all over that of those above it; the paper's is 85.",
    )


class Adascale(Section):
    """AdaSCALE: SCALE by a percentile that falls with how a sample's features answer a step."""

    variant: Literal["a", "l"] = Field(
        "a", description="What is scaled: a = features (AdaSCALE-A), l = logits (AdaSCALE-L)."
    )
    lowest: Percentile = Field(
        75.0, description="Percentile of the sample whose features answer most, in (0, 100)."
    )
    highest: Percentile = Field(
        85.0, description="Percentile of the sample whose features answer least, in (0, 100)."
    )
    magnitude: Positive = Field(
        0.5, description="Length of the step, in units of the network's input."
    )
    pixels: Share = Field(
        0.05,
        description="Share of a picture's numbers that are moved, those with the least gradient of "
        "the largest logit, in (0, 1].",
    )
    shifted: Percentile = Field(
        1.0,
        description="Percent of a sample's features, the largest, whose shifts are summed (the "
        "paper's k2), in (0, 100).",
    )
    corrected: Percentile = Field(
        5.0,
        description="Percent of a sample's features, the largest, whose values after the step are "
        "summed (the paper's k1), in (0, 100).",
    )
    weight: Positive = Field(
        10.0, description="Weight of the shifts beside those values (the paper's lambda)."
    )

    @model_validator(mode="after")
    def _in_order(self) -> "Adascale":
        if self.lowest > self.highest:
            raise ValueError(
                f"lowest must be at most highest = {self.highest:g}, got {self.lowest:g}"
            )
        return self


class Scoring(Section):
    """Settings of the scores. What is fitted is fitted on ID data; what is chosen, on the
    validation sets."""

    odin: Odin = Odin()
    iodin: Iodin = Iodin()
    gen: Gen = Gen()
    mahalanobis: Mahalanobis = Mahalanobis()
    godin: GodinScore = GodinScore()
    knn: Knn = Knn()
    nnguide: Nnguide = Nnguide()
    vim: Vim = Vim()
    react: React = React()
    dice: Dice = Dice()
    ash: Ash = Ash()
    scale: Scale = Scale()
    adascale: Adascale = Adascale()


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
    """How figures are read from the scores, and of which test sets they are averaged."""

    threshold: Literal["first", "nearest"] = Field(
        "first",
        description="Point of the ROC curve at which FPR95 is read: first = the first with a "
        "true positive rate of at least 0.95, nearest = the one nearest to 0.95.",
    )
    aupr: Literal["step", "trapezoid"] = Field(
        "step",
        description="Rule by which the area under precision over recall is taken: step = average "
        "precision, trapezoid = straight lines between the points, as OpenOOD and pytorch-ood do.",
    )
    groups: dict[Name, Annotated[Names, Field(min_length=1)]] = Field(
        {},
        description="Name: test sets, over which tables show an average of their own, such as "
        "OpenOOD's near and far; {} = the average over all alone.",
    )

    def told(self) -> dict[str, Any]:
        """Return what a spec says of them: what is as it always was stays unsaid."""
        unsaid = {"aupr"} if self.aupr == "step" else set()
        return self.model_dump(exclude=unsaid | {"groups"})
