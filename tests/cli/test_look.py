"""What the ID data set's own files tell before a plan: as the stage `dataset` will cut them."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import yaml

from bood_tasks.cli.look import look
from bood_tasks.config.datasets import PublishedCorpus
from bood_tasks.config.fields import merged
from bood_tasks.config.load import load
from bood_tasks.datasets.dataset import open_dataset
from bood_tasks.plan.datasets import dataset

ROOT = Path(__file__).parents[2]


def config(name, item, **overlay):
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    overlay |= {"id": name, "datasets": {name: item, "corrupted": {"of": name}}}
    overlay["datasets"]["resampled"] = {"of": name}
    return load(merged(base, overlay))


def test_a_folder_is_counted_as_it_will_be_cut(tmp_path):
    rng = np.random.default_rng(0)
    for name, count in (("cat", 60), ("dog", 40)):
        (tmp_path / name).mkdir()
        for i in range(count):
            pixels = rng.integers(0, 256, (40 + i, 90, 3), dtype=np.uint8)
            PIL.Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    given = config("pets", {"kind": "folder", "path": str(tmp_path), "validation": 0.3})
    facts = look(given)
    splits, classes = open_dataset({**dataset(given, "pets").settings}, tmp_path)
    labels = splits["train"].labels.tolist()
    assert facts.counts == {name: labels.count(k) for k, name in enumerate(classes)}
    assert facts.pictures == len(labels) < 100
    heights = []
    for i in range(len(labels)):
        with splits["train"].read(i) as picture:
            heights.append(picture.height)
    assert facts.side() == np.median(heights)


def test_of_a_published_set_the_catalogue_tells_what_it_can():
    facts = look(config("cifar10", {"kind": "cifar10", "validation_per_class": 200}))
    assert (facts.fewest, facts.pictures, facts.side()) == (4800, 48_000, None)


def test_of_arrays_their_own_size():
    base = yaml.safe_load((ROOT / "config.yaml").read_text())
    facts = look(load(base))
    assert (facts.fewest, facts.side()) == (800, 28)


def test_texts_have_no_pictures_to_look_at():
    given = config("fashion8", {})
    given.datasets["fashion8"] = PublishedCorpus(kind="newsgroups20")
    with pytest.raises(ValueError, match="id must name pictures for auto, got fashion8"):
        look(given)
