"""A classifier in an ONNX file: logits, and a named output as features. It has no gradients."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from bood_tasks.networks.pixels import renormalised


def opened(path: Path):
    """Return an onnxruntime session of one thread less surprise: the graph's own inputs, one.

    Raises ValueError for a file that is no graph of one picture input.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has many kinds
        raise ValueError(
            f"detector.network.onnx must be a whole ONNX file, got {path} ({error})"
        ) from None
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
        shown = ", ".join(f"{item.name} {item.type} {item.shape}" for item in inputs)
        raise ValueError(
            f"detector.network.onnx must have one input, float [n, 3, h, w], got {shown} in {path}"
        )
    return session


def outputs_of(session, features: str | None) -> tuple[str, int, int | None]:
    """Return the name of the output that is the logits, the number of these, and the width of the
    output named `features` (None: of no output).

    The logits are the first output [n, v] that is not the features. Raises ValueError where there
    is none.
    """
    named = {item.name: item.shape for item in session.get_outputs()}
    if features is not None and (features not in named or len(named[features]) != 2):
        shown = ", ".join(f"{name} {shape}" for name, shape in named.items())
        raise ValueError(
            f"detector.network.features must name an output [n, p] of the ONNX file, got "
            f"{features!r}; it has {shown}"
        )
    flat = [name for name, shape in named.items() if len(shape) == 2 and name != features]
    if not flat or not isinstance(named[flat[0]][1], int):
        raise ValueError(
            f"detector.network.onnx must have an output [n, classes], got {named}; export the "
            "logits"
        )
    return flat[0], named[flat[0]][1], None if features is None else named[features][1]


class OnnxNetwork(nn.Module):
    """A network that onnxruntime runs on the CPU, behind the interface that methods know.

    `head` is None: no layer of ours reads its features. `mean`, `std`, `order`: as GivenNetwork's.
    """

    def __init__(
        self,
        path: Path,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        features: str | None = None,
        order: Sequence[int] | None = None,
    ):
        super().__init__()
        self.session = opened(path)
        self.logits, self.classes, _ = outputs_of(self.session, features)
        self.mean, self.std, self.features, self.order = mean, std, features, order
        self.head = None
        # A module without a tensor of its own would be on no device, and its file empty.
        self.register_buffer("place", torch.zeros(1))

    def _run(self, x: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        given = self.session.get_inputs()[0]
        rows = renormalised(x, self.mean, self.std).cpu().contiguous().numpy()
        count = given.shape[0] if isinstance(given.shape[0], int) else len(rows)
        names = [self.logits, *([self.features] if self.features else [])]
        parts = []
        for start in range(0, len(rows), count):
            block = rows[start : start + count]
            filled = np.concatenate([block, np.repeat(block[-1:], count - len(block), 0)])
            found = self.session.run(names, {given.name: filled})
            parts.append([values[: len(block)] for values in found])
        joined = [torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True)]
        logits = joined[0] if self.order is None else joined[0][:, list(self.order)]
        return [part.to(x.device) for part in (logits, *joined[1:])]

    def stages(self, x: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b p"]]:
        """Return the features, as the last of one; ValueError if the file names none."""
        if self.features is None:
            raise ValueError("detector.network.features must name the output that is the features")
        return [self._run(x)[1]]

    def outputs(self, x: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
        """Return `logits` and, if an output is named so, `features`."""
        return dict(zip(("logits", "features"), self._run(x), strict=False))

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b v"]:
        return self._run(x)[0]
