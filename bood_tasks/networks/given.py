"""A classifier that somebody else wrote, split into the body that makes features and the last
linear layer that makes logits of them: what training and post-hoc scores ask a network for.

The layer is found by running the network once: the `nn.Linear` whose output is what the network
returns. Put an identity in its place, and the network returns what the layer had read.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bood_tasks.networks.padding import PAD
from bood_tasks.networks.pixels import renormalised

LOGITS_ALONE = "its logits are not one linear layer of anything it computes"
TOLERANCE = 1e-4  # of the largest logit: another order of the same sums


def logits_of(found: object) -> Tensor:
    """Return a network's logits from what its forward returned: a tensor, or what holds `logits`,
    as transformers' outputs and Inception's in training do, or a tuple that begins with them."""
    if isinstance(found, Tensor):
        return found
    return found.logits if hasattr(found, "logits") else found[0]


def find_head(net: nn.Module, run: Callable[[], Tensor]) -> str:
    """Return the name of the linear layer whose output `run()`, a pass of the network, returns;
    "" if there is none. Works on the device `meta` as well."""
    seen: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _, __, out, name=name: seen.__setitem__(name, out))
        for name, layer in net.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        logits = run()
    finally:
        for hook in hooks:
            hook.remove()
    same = [name for name, out in seen.items() if out is logits or logits._base is out]
    if not same and not logits.is_meta:
        same = [
            name for name, out in seen.items()
            if out.numel() == logits.numel() and torch.equal(out.reshape(logits.shape), logits)
        ]  # fmt: skip
    return same[-1] if same else ""


class GivenNetwork(nn.Module):
    """A classifier of somebody else's behind the interface that methods and scores know.

    `body(x)` are the penultimate features and `head(features)` the logits; `head` is None where
    the logits are not one linear layer (`name` = ""), and the network then has logits alone.
    `mean`, `std`: of the pixels in [0, 1] that it was trained on, one number a channel; None = it
    reads tokens. `pad`: the number of its own padding token; ours is PAD, and the two trade
    places. `order`: which of a network's own logits are ours, in our order; None = as they are.
    """

    def __init__(
        self,
        net: nn.Module,
        name: str,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        pad: int | None = None,
        order: Sequence[int] | None = None,
    ):
        super().__init__()
        self.name, self.mean, self.std, self.pad = name, mean, std, pad
        self.head: nn.Linear | None = None
        if name:
            above, _, last = name.rpartition(".")
            self.head = net.get_submodule(name)
            setattr(net.get_submodule(above), last, nn.Identity())
        self.body = net
        self.order = order if order is None else list(order)

    def _given(self, x: Tensor) -> dict[str, Tensor] | Tensor:
        """Return our input as the network takes it."""
        if self.mean is not None:
            return renormalised(x, self.mean, self.std)
        if self.pad is None:
            return x
        ids = torch.where(x == PAD, self.pad, torch.where(x == self.pad, PAD, x))
        return {"input_ids": ids, "attention_mask": (x != PAD).long()}

    def _run(self, x: Tensor) -> Tensor:
        given = self._given(x)
        found = self.body(**given) if isinstance(given, Mapping) else self.body(given)
        return logits_of(found)

    def stages(
        self, x: Float[Tensor, "b 3 h w"] | Int64[Tensor, "b l"]
    ) -> list[Float[Tensor, "b p"]]:
        """Return the penultimate features, as the last of one.

        Raises ValueError for a network that has logits alone.
        """
        if self.head is None:
            raise ValueError(f"the network has no penultimate features: {LOGITS_ALONE}")
        return [self._run(x)]

    def outputs(self, x: Tensor) -> dict[str, Tensor]:
        """Return what a network without such a layer has: `logits` alone."""
        return {"logits": self(x)}

    def _ordered(self, logits: Float[Tensor, "b k"]) -> Float[Tensor, "b v"]:
        return logits if self.order is None else logits[:, self.order]

    def forward(self, x: Tensor) -> Float[Tensor, "b v"]:
        """Return class logits."""
        found = self._run(x)
        return self._ordered(found) if self.head is None else self.head(found)

    def under_own_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights that have the names of the network as it was, under those of this module;
        weights that have these already as they are."""
        if any(key.startswith("body.") for key in state):
            return dict(state)
        start = f"{self.name}."
        return {
            f"head.{key.removeprefix(start)}" if self.name and key.startswith(start)
            else f"body.{key}": value
            for key, value in state.items()
        }  # fmt: skip


def split(net: nn.Module, x: Tensor, name: str | None = None, **how: object) -> GivenNetwork:
    """Return a network with its last linear layer apart; `x`: an input of ours, to try it by.

    `name`: of that layer, None = it is looked for, "" = there is none. Where head(body(x)) is not
    what the network says of x, it gets no head. `how`: GivenNetwork's other arguments. Raises
    ValueError for a network whose output is not [b, v].
    """
    whole = GivenNetwork(net, "", **how).eval()
    with torch.no_grad():
        given = whole._given(x)
        run = (lambda: logits_of(net(**given))) if isinstance(given, Mapping) else (
            lambda: logits_of(net(given))
        )  # fmt: skip
        logits = run()
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(x):
            shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(
                f"the network must return logits [{len(x)}, classes] for {len(x)} inputs, got "
                f"{shape}"
            )
        name = find_head(net, run) if name is None else name
        if not name:
            return whole
        apart = GivenNetwork(net, name, **how).eval()
        try:
            features = apart.stages(x)[0]
            again = apart.head(features)
            right = features.ndim == 2 and again.shape == logits.shape
            if right and not logits.is_meta:
                most = logits.abs().amax().clamp_min(1e-6)
                right = bool((again - logits).abs().amax() <= TOLERANCE * most)
        except (RuntimeError, AttributeError, TypeError, IndexError):  # it asks its layer for more
            right = False
    if right:
        return apart
    above, _, last = name.rpartition(".")
    setattr(net.get_submodule(above), last, apart.head)
    return whole
