"""Class names as one word of the generator's tokenizer each."""

import string
import sys
from collections.abc import Mapping, Sequence


def pick_tokens(tokenizer, words: Mapping[str, str]) -> list[int]:
    """Return each class's token: the first piece of its word.

    Words of several pieces are counted in a warning: their anchor is a fragment's. Raises
    ValueError if a word has no token but the unknown one, or if two classes share one.
    """
    tokens: dict[int, str] = {}
    fragments = []
    for name, word in words.items():
        pieces = tokenizer(word, add_special_tokens=False)["input_ids"]
        special = {tokenizer.unk_token_id, tokenizer.eos_token_id, tokenizer.bos_token_id}
        if not pieces or pieces[0] in special:
            raise ValueError(
                f"anchors.words.{name} must be a word the generator's tokenizer knows, "
                f"got {word!r}; give an alias"
            )
        if pieces[0] in tokens:
            raise ValueError(
                f"anchors.words.{name} must differ from every other class, got {word!r}, whose "
                f"first token {tokenizer.convert_ids_to_tokens(pieces[0])!r} is that of "
                f"{tokens[pieces[0]]!r}; give one of them an alias"
            )
        tokens[pieces[0]] = name
        if len(pieces) > 1:
            first = tokenizer.convert_ids_to_tokens(pieces[0])
            fragments.append(f"{name} ({word!r}, of which {first!r} is taken)")
    if fragments:
        print(
            f"warning: {len(fragments)} of {len(words)} class anchors are those of a word's first "
            f"piece: {', '.join(fragments)}; give aliases of one token by anchors.words",
            file=sys.stderr,
        )
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
