"""float64 beside a device: Apple's MPS has none, and what needs it is then done on the CPU."""

from torch import Tensor

WITHOUT = ("mps",)


def float64_device(device: str) -> str:
    """Return where float64 of a device's results is computed: there, or on the CPU."""
    return "cpu" if device in WITHOUT else device


def float64(x: Tensor) -> Tensor:
    """Return x in float64, on its own device where that has float64; gradients flow back."""
    return x.to(float64_device(x.device.type)).double() if x.device.type in WITHOUT else x.double()
