"""The words of a folder's tokenizer, from JSON alone."""

import json

import pytest
from transformers import CLIPTokenizer

from bood_tasks import EMBEDDED
from bood_tasks.networks.words import known_words, nearest, refusal, unknown_words, whole_words

SHIPPED = EMBEDDED / "generator"


def test_known_words_are_those_that_the_tokenizer_reads_as_one_token():
    tokenizer = CLIPTokenizer.from_pretrained(SHIPPED / "tokenizer")
    known = whole_words(known_words(SHIPPED))
    assert {"bag", "boot", "coat", "plainstar"} <= set(known)
    assert all(len(tokenizer.tokenize(word)) == 1 for word in known)
    for word in ("cat", "dahlia", "ankle boot", "pagoda"):
        assert len(tokenizer.tokenize(word)) > 1
        assert unknown_words({word: word}, known) == {word: word}


def test_case_and_blanks_do_not_matter():
    assert unknown_words({"a": " Bag", "b": "BOOT "}, known_words(SHIPPED)) == {}


def test_a_vocabulary_within_tokenizer_json_is_read(tmp_path):
    (tmp_path / "tokenizer").mkdir()
    path = tmp_path / "tokenizer" / "tokenizer.json"
    path.write_text(json.dumps({"model": {"vocab": {"ca": 0, "cat</w>": 1}}}))
    assert known_words(tmp_path) == {"cat"}
    assert known_words(tmp_path / "nothing") == frozenset()


def test_a_refusal_names_all_and_what_is_near():
    text = refusal({"boots": "boots", "b": "qqq"}, ["boot", "bag", "x"])
    assert "2 are none: 'boots', near it boot; b ('qqq')." in text
    assert nearest("boots", ["boot", "bag"]) == ["boot"]


def test_a_vocabulary_that_is_no_json_is_named(tmp_path):
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer/vocab.json").write_text("{")
    with pytest.raises(ValueError, match=r"vocab.json must be JSON"):
        known_words(tmp_path)
