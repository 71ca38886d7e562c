import hashlib
import json
import re

import pytest

from bood_tasks import EMBEDDED
from bood_tasks.generators.text_to_image.words import pick_tokens
from bood_tasks.networks.words import class_words
from bood_tasks.synthesis import anchors
from tests import fake_artifacts


class Tokenizer:
    """Words of known pieces; anything else is the unknown token."""

    unk_token_id, bos_token_id, eos_token_id = 0, 1, 2
    pieces = {"boy": [10], "sunflower": [11, 12], "sunday": [11, 13], "girl": [14]}  # noqa: RUF012

    def __call__(self, word, add_special_tokens):
        assert not add_special_tokens
        return {"input_ids": self.pieces.get(word, [0])}

    def convert_ids_to_tokens(self, token):
        return f"piece{token}"


def test_each_class_has_the_token_of_its_word():
    assert pick_tokens(Tokenizer(), {"a": "girl", "b": "boy"}) == [14, 10]


def test_words_that_are_no_token_are_named_all_at_once():
    with pytest.raises(ValueError, match=r"2 are none: x \('qqq'\); 'sunflower'\. `bood words`"):
        pick_tokens(Tokenizer(), {"a": "girl", "x": "qqq", "sunflower": "sunflower"})


def test_classes_that_share_a_token_are_named():
    with pytest.raises(ValueError, match=r"anchors.words.b must differ .* which is 'a', too"):
        pick_tokens(Tokenizer(), {"a": "girl", "b": "girl"})


def test_aliases_replace_names_and_must_be_classes():
    assert class_words(["a", "b"], {"b": "boy"}) == {"a": "a", "b": "boy"}
    known = {"a", "tshirt", "d", "boy"}
    names = ["a", "T-shirt", "red_fox", "3", "b_2"]
    of_a_folder = class_words(names, {"b_2": "boy"}, known)
    assert of_a_folder == dict(zip(names, ["a", "tshirt", "red_fox", "3", "boy"], strict=True))
    of_its_own = class_words(names, {"b_2": "boy"}, None)
    assert list(of_its_own.values()) == ["a", "tshirt", "redfox", "d", "boy"]
    with pytest.raises(ValueError, match=r"anchors.words.c must be a class"):
        class_words(["a", "b"], {"c": "boy"})


def test_id_data_of_one_class_are_refused_before_anything_trains(tmp_path):
    inputs = {
        "dataset": fake_artifacts.make(
            tmp_path, "dataset", files={"dataset.json": {"name": "mine", "classes": ["red"]}}
        ),
        "generator": fake_artifacts.make(tmp_path, "generator", files={"x": "y"}),
    }
    with pytest.raises(ValueError, match=r"datasets.mine must have at least two .* got 1: red"):
        fake_artifacts.run_stage(tmp_path, anchors.main, "anchors", {"words": {}}, inputs)


CHECKED = {  # with CLIP's vocabulary, which is not shipped: each word is one token of it
    "cifar100": "ff362da9e0d7f826",
    "imagenet100": "dc003f943725e366",
}


@pytest.mark.parametrize("name", CHECKED)
def test_shipped_aliases_are_one_word_for_each_class_and_differ(name):
    aliases = json.loads((EMBEDDED / "class_aliases.json").read_text())[name]
    assert len(aliases) == len(set(aliases.values())) == 100
    assert all(re.fullmatch("[a-z]+", word) for word in aliases.values())
    digest = hashlib.sha256(" ".join(aliases.values()).encode()).hexdigest()
    assert digest.startswith(CHECKED[name]), "check the new words with CLIP's vocabulary"
