"""Class names as one word of the generator's tokenizer each."""

import string
from collections.abc import Mapping, Sequence

from bood_tasks.networks.words import refusal


def pick_tokens(tokenizer, words: Mapping[str, str]) -> list[int]:
    """Return each class's token.

    Raises ValueError naming all words that are no token, or of several, and two classes that share
    one.
    """
    tokens: dict[int, str] = {}
    unknown = {}
    for name, word in words.items():
        pieces = tokenizer(word, add_special_tokens=False)["input_ids"]
        special = {tokenizer.unk_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id}
        if len(pieces) != 1 or pieces[0] in special:
            unknown[name] = word
            continue
        if pieces[0] in tokens:
            raise ValueError(
                f"anchors.words.{name} must differ from every other class, got {word!r}, which is "
                f"{tokens[pieces[0]]!r}, too; give one of them an alias"
            )
        tokens[pieces[0]] = name
    if unknown:
        raise ValueError(refusal(unknown, ()))
    return list(tokens)


def spelled(name: str) -> str:
    """Return a class name as one word of lower-case letters, as the small tokenizer takes it.

    Digits become letters, what else is no letter goes.

    >>> spelled("aquarium_fish"), spelled("n01443537")
    ('aquariumfish', 'nabeedfdh')
    """
    digits = str.maketrans(string.digits, string.ascii_lowercase[:10])
    return "".join(c for c in name.lower().translate(digits) if c in string.ascii_lowercase)


def class_words(classes: Sequence[str], aliases: Mapping[str, str]) -> dict[str, str]:
    """Return class name -> word, aliases applied.

    Raises ValueError for an alias of a class that does not exist.
    """
    unknown = set(aliases) - set(classes)
    if unknown:
        raise ValueError(
            f"anchors.words.{sorted(unknown)[0]} must be a class of the ID data set; "
            f"classes: {', '.join(classes)}"
        )
    return {name: aliases.get(name, name) for name in classes}
