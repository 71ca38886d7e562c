"""Every word of a table has its explanation."""

from typing import get_args

from bood_tasks.catalogue import terms
from bood_tasks.catalogue.corpora import ALL_PUBLISHED
from bood_tasks.catalogue.methods import METHODS
from bood_tasks.catalogue.metrics import METRICS
from bood_tasks.catalogue.scores import SCORES
from bood_tasks.catalogue.titles import BEST, CONTROLS, LENGTH
from bood_tasks.config import datasets


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
    assert all(map(terms.meaning_of_set, found))


def test_explanations_are_whole_sentences():
    for group in (terms.WORDS, terms.METRICS, terms.METHODS, terms.SCORES):
        assert all(text.endswith(".") for text in group.values())
