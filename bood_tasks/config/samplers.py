"""What a sampler of outlier vectors and the method that trains on its outliers both have to set."""

from pydantic import Field, model_validator

from bood_tasks.config.fields import AutoCount, Count, NonNegative, Part, Positive, Section


class Shell(Section):
    """GCOS's shell: where features go that leave their class's manifold."""

    variance: Part = Field(
        0.95,
        description="Share of the features' variance that the directions hold along which nothing "
        "moves, in (0, 1).",
    )
    inner: Part = Field(
        0.95,
        description="Quantile of the calibration features' distances at which the shell begins, in "
        "(0, 1).",
    )
    outer: Part = Field(0.99, description="Quantile at which it ends, in (0, 1).")

    @model_validator(mode="after")
    def _has_a_width(self) -> "Shell":
        if self.outer < self.inner:
            raise ValueError(f"outer must be at least inner = {self.inner:g}, got {self.outer:g}")
        return self


class Chains(Section):
    """HamOS's chains: where they begin, how they go on, and which places they refuse."""

    neighbours: AutoCount = Field(
        200,
        description="The k of the distance to the k-th neighbour in a class; auto = a quarter of "
        "the smallest class's training data, at most 200.",
    )
    adjacent: Count = Field(
        4, description="Number of nearest classes with each of which a class has a chain, or all."
    )
    leapfrogs: Count = Field(3, description="Number of steps of a round.")
    step_size: Positive = Field(0.1, description="Length of a step, in units of time.")
    kappa: Positive = Field(
        2.0, description="Concentration of the kernels by which a place is one class's."
    )
    margin: NonNegative = Field(
        0.2,
        description="How much surer of one class, as twice the logarithm of its probability, a "
        "place must not become than the chain's beginning.",
    )
