"""How the steps of these networks run here, decided by what each way costs (jobs/compiling.py)."""

from collections.abc import Sequence

import torch
from torch import nn

from bood_tasks.jobs.compiling import Pace, priors
from bood_tasks.networks import compiled


def pace_of(
    label: str,
    kind: str,
    networks: Sequence[nn.Module],
    device: torch.device,
    *of: object,
    whole: bool = True,
) -> Pace:
    """Return what decides how a job's steps run, and keeps what each way cost.

    `kind`: inference or training (`priors`). `of`: what the time of a step depends on beside the
    networks and the device. `whole`: whether all of a step may be compiled, not only the blocks.
    """
    blocks = [block for network in networks for block in compiled.repeated_blocks(network)]
    costs = priors(
        kind,
        layers=compiled.layers(networks) if whole else 0,
        in_blocks=compiled.layers(compiled.distinct(blocks)),
        parameters=compiled.parameters(networks),
    )
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    what = [compiled.described(networks), *of, name, torch.__version__]
    return Pace(label, device.type, costs, *what)
