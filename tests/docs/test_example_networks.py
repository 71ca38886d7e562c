"""The networks of docs/examples: their sizes, and their published weights on real pictures."""

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from sklearn.metrics import roc_auc_score

from bood_tasks.detectors.confidence import energy, msp
from bood_tasks.networks.libraries import given_network, original
from bood_tasks.networks.weights import read_weights, require_fitting
from bood_tasks.scoring.outputs import run_outputs
from tests.realdata import needs_realdata, real_files, realdata

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
# parameters: He et al. 2016 print .27 and .85 million, Huang et al. 2017 print .8 million
SIZES = {
    "cifar_resnet.py:resnet20": 269_722, "cifar_resnet.py:resnet56": 853_018,
    "densenet_bc.py:densenet100": 769_162,
}  # fmt: skip
# Made outside this project on the same pictures, by other code: AUROC of MSP and of energy.
INDEPENDENT = {"svhn": (0.8901, 0.8818), "textures": (0.8763, 0.8982), "mnist": (0.9108, 0.9758)}


@pytest.mark.parametrize("name", SIZES)
def test_an_example_has_as_many_parameters_as_its_paper_s(name):
    with torch.device("meta"):
        net = original({"python": name}, 10, EXAMPLES)
    assert sum(weight.numel() for weight in net.parameters()) == SIZES[name]


def stacked(files: dict[str, bytes]) -> np.ndarray:
    pictures = [PIL.Image.open(io.BytesIO(content)).convert("RGB") for content in files.values()]
    return np.stack([np.asarray(picture) for picture in pictures])


@needs_realdata
@pytest.mark.long
def test_resnet20_says_of_real_pictures_what_an_independent_run_said():
    description = {"python": "cifar_resnet.py:resnet20", "size": 32, **IMAGENET}
    net = given_network(description, 10, EXAMPLES)
    path = realdata() / "weights/cifar10_resnet20-12fca82f.th"
    given = net.under_own_names(read_weights(path))
    net.load_state_dict(require_fitting(given, net.state_dict(), path))
    model = torch.nn.Module()
    model.outputs = lambda x: {"logits": net.eval()(x)}
    how = {"batch_size": 250, "device": "cpu"}
    inside = {name: x for name, x in real_files("cifar10").items() if name.startswith("test/")}
    classes = sorted({name.split("/")[1] for name in inside})
    labels = np.array([classes.index(name.split("/")[1]) for name in inside])
    logits = torch.from_numpy(run_outputs(model, stacked(inside), **how)["logits"])
    assert (logits.argmax(1).numpy() == labels).mean() == pytest.approx(0.9173, abs=1e-3)
    outside = real_files("ood")
    for name, expected in INDEPENDENT.items():
        first = sorted(key for key in outside if key.startswith(f"{name}/"))[:2000]
        rows = stacked({key: outside[key] for key in first})
        other = torch.from_numpy(run_outputs(model, rows, **how)["logits"])
        truth = np.r_[np.ones(len(logits)), np.zeros(len(other))]
        found = [
            roc_auc_score(truth, np.r_[score(logits), score(other)]) for score in (msp, energy)
        ]
        assert found == pytest.approx(expected, abs=0.005), name
