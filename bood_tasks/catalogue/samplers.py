"""The samplers of outlier features that `ood_features.sampler` may name. Imports nothing heavy.

A sampler is a module of synthesis/samplers (see its interface), an entry here and, for settings of
its own, a section of its name in config's OodFeatures.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class SamplerEntry:
    """One sampler. `module`: of synthesis/samplers.

    `steps`: whose step counts to the decision boundary it reads: of no feature, of those that
    `select` may choose, or of all. `variants`: {setting: {value: the setting that this value
    alone reads}}. `priced`: BOOD's tables 4 and 5 print its cost.
    """

    module: str
    steps: Literal["none", "selected", "all"] = "none"
    variants: dict[str, dict[str, str]] = field(default_factory=dict)
    priced: bool = False


SAMPLERS = {
    "bood": SamplerEntry(
        "bood",
        steps="selected",
        variants={
            "perturb": {"adversarial": "extra_steps", "gaussian": "sigma", "centroid": "shift"}
        },
        priced=True,
    ),
    "dreamood": SamplerEntry("dreamood", priced=True),
    "gcos": SamplerEntry("gcos"),
    "ncis": SamplerEntry("ncis"),
    "hamos": SamplerEntry("hamos"),
}
STEP_SIZE_FOUND = "distances.json"  # of the stage distances, where its step size is `auto`
PRICED = [name for name, entry in SAMPLERS.items() if entry.priced]
