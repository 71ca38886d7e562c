"""Samplers of outlier features: what the table says of them, and a further one."""

import sys
import types

import numpy as np
import pytest
import torch

from bood_tasks.catalogue.samplers import SAMPLERS, SamplerEntry
from bood_tasks.config.synthesis import OodFeatures
from bood_tasks.synthesis import ood_features
from bood_tasks.synthesis.samplers.interface import Distances, Sampled, Sampler
from tests.synthesis.test_ood_features import CLASSES, run


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_of_the_table_is_whole(name):
    module = ood_features.sampler(name)
    assert isinstance(module, Sampler)
    settings = OodFeatures(sampler=name)
    for setting, read_by in SAMPLERS[name].variants.items():
        assert {setting, *read_by.values()} <= set(settings.model_dump())


def test_a_further_sampler_is_a_module_and_an_entry(tmp_path, monkeypatch):
    """Each class's mean, from no distances."""

    def sample(given, settings):
        owners = torch.arange(len(given.classes))
        assert given.distances is None
        means = torch.stack([given.features[torch.from_numpy(given.labels == y)].mean(0)
                             for y in owners.tolist()])  # fmt: skip
        steps, rows = np.full(len(owners), -1, np.int32), np.zeros(len(owners), np.int64)
        return Sampled(means, owners, rows, steps, {"selected": dict.fromkeys(given.classes, 1)})

    module = types.ModuleType("bood_tasks.synthesis.samplers.means")
    module.sample = sample
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(SAMPLERS, "means", SamplerEntry("means"))
    made, features, labels, *_ = run(tmp_path, distances=False, sampler="means", rescale="none")
    assert made["labels"][:].tolist() == [0, 1, 2]
    np.testing.assert_allclose(made["vectors"][1], features[labels == 1].mean(0), rtol=1e-6)
    assert made.json("ood_features.json") == {"selected": dict.fromkeys(CLASSES, 1)}


@pytest.mark.parametrize(
    ("steps", "margin"), [([1, -5, 2], [0.1, 0.2, 0.3]), ([1, 2, 3], [0.1, np.nan, 0.2])]
)
def test_distances_that_no_stage_writes_are_refused(steps, margin):
    flags = np.ones(3, bool)
    with pytest.raises(ValueError, match="1 of 3 have not, first row 1; make the distances anew"):
        Distances(np.array(steps, np.int32), flags, np.array(margin, np.float32), flags)
