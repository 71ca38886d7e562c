"""Every word of a table has its explanation."""

from pathlib import Path
from typing import get_args

import yaml

from bood_tasks.catalogue import terms
from bood_tasks.catalogue.corpora import ALL_PUBLISHED
from bood_tasks.catalogue.methods import METHODS
from bood_tasks.catalogue.metrics import METRICS
from bood_tasks.catalogue.scores import SCORES
from bood_tasks.catalogue.titles import BEST, CONTROLS, LENGTH
from bood_tasks.config import datasets

ROOT = Path(__file__).parents[2]


def test_every_method_score_and_metric_is_explained():
    assert set(terms.METHODS) == {*METHODS, *CONTROLS}
    assert set(terms.SCORES) == {*SCORES, BEST, LENGTH}
    assert set(terms.METRICS) == set(METRICS)


def test_every_kind_of_data_set_is_explained():
    found = set()
    for model in vars(datasets).values():
        kind = getattr(model, "model_fields", {}).get("kind")
        found |= set(get_args(kind.annotation)) if kind else set()
    assert set(terms.KINDS) == found - set(ALL_PUBLISHED)
    assert set(terms.PUBLISHED) == set(ALL_PUBLISHED)
    assert all(terms.meaning_of_set({"kind": kind}) for kind in found)


def test_what_ships_with_the_project_is_explained_by_what_it_is():
    sets = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["datasets"]
    files = {item["file"] for item in sets.values() if "file" in item}
    assert files == set(terms.EMBEDDED)
    near = terms.meaning_of_set(sets["near"])
    assert near.startswith("Grey pictures of clothes")
    assert near.endswith("Here: dress, shirt.")


def test_every_kind_of_outliers_is_explained():
    """As plan/reporting.kind_of_outliers names them."""
    assert set(terms.OUTLIERS) == {"decoded", "generated", "natural", "noise", "mixed", "none"}
    assert "noise" in terms.meaning_of_row("bood", "uniform-noise", "noise")
    assert terms.meaning_of_row("bood") in terms.meaning_of_row("bood", "x", "natural")


def test_explanations_are_whole_sentences():
    groups = (terms.WORDS, terms.METRICS, terms.METHODS, terms.SCORES, terms.KINDS,
              terms.PUBLISHED, terms.EMBEDDED, terms.OUTLIERS)  # fmt: skip
    for group in groups:
        assert all(text.endswith(".") for text in group.values())
