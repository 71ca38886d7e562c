"""Draw with compiled networks and with plain ones: `python -m tests.generators.draw_compiled
BACKEND FOLDER GENERATOR...` prints how many modules were compiled and the largest difference of a
picture in grey levels, by generator and way.

A process of its own: torch's compiler cannot trace the checks of shapes that the tests run under.
"""

import json
import sys
from pathlib import Path

import torch

from bood_tasks.generators.biggan.biggan import Generator, Shape
from bood_tasks.generators.pixels import to_uint8
from bood_tasks.networks import compiled
from tests.generators import tiny_families
from tests.generators.test_families import decoded, loaded

WAYS = "whole", "blocks"


def text_to_image(family: str, folder: Path):
    """Return a generator's networks, and what draws three pictures with them."""
    scheduler, steps, guidance = tiny_families.OWN_SAMPLER[family]
    generator = loaded(tiny_families.save(family, folder / family), scheduler)
    return generator.networks, lambda: decoded(generator, [0, 1, 2], steps=steps, guidance=guidance)


def biggan(_family: str, _folder: Path):
    torch.manual_seed(0)
    generator = Generator(Shape(resolution=32, channels=8, latent=16, classes=3)).eval()
    z, y = torch.randn(3, 16), torch.arange(3)
    return [generator], lambda: to_uint8(generator(z, y), None, "bilinear")


def main(backend: str, folder: Path, *names: str) -> None:
    compiled.BACKEND, found = backend, {}
    for name in names:
        networks, draw = (biggan if name == "biggan" else text_to_image)(name, folder)
        with torch.inference_mode():
            plain = draw().int()
            for way in WAYS:
                torch._dynamo.reset()
                compiled.run_as(way, networks)
                calls = sum(module._compiled_call_impl is not None
                            for network in networks for module in network.modules())  # fmt: skip
                found[f"{name} {way}"] = calls, (draw().int() - plain).abs().max().item()
                for network in networks:
                    compiled.uncompile(network)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
