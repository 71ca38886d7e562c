"""The words that a text-to-image folder knows as one token each, read from its JSON alone.

CLIP's tokenizers spell any word, an unknown one letter by letter if need be; `dahlia` would be the
letter d. So a class anchor is the row of a word that is a token of its own, or there is none.
"""

import difflib
import string
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from bood_tasks.networks.pipelines import read_json

END = "</w>"  # of a token that ends a word
NEAREST = 3


@cache
def known_words(folder: Path) -> frozenset[str]:
    """Return the words, lower case, that the tokenizer of a folder in diffusers' layout knows as
    one token; none where it has no vocabulary in JSON.

    Raises ValueError for a vocabulary that is no JSON.
    """
    path = folder / "tokenizer" / "vocab.json"
    if path.is_file():
        pieces = read_json(path)
    elif path.with_name("tokenizer.json").is_file():
        pieces = read_json(path.with_name("tokenizer.json")).get("model", {}).get("vocab", {})
    else:
        return frozenset()
    return frozenset(piece.removesuffix(END) for piece in pieces if piece.endswith(END))


def spelled(name: str) -> str:
    """Return a class name as one word of lower-case letters, as the small tokenizer takes it.

    Digits become letters, what else is no letter goes.

    >>> spelled("aquarium_fish"), spelled("n01443537")
    ('aquariumfish', 'nabeedfdh')
    """
    digits = str.maketrans(string.digits, string.ascii_lowercase[:10])
    return "".join(c for c in name.lower().translate(digits) if c in string.ascii_lowercase)


def class_words(
    classes: Sequence[str], aliases: Mapping[str, str], known: Collection[str] | None = ()
) -> dict[str, str]:
    """Return class name -> word: its alias, or itself, or, where the generator does not know it as
    it stands, its letters and digits joined (`T-shirt` as tshirt) if it knows these.

    `known`: the words of its tokenizer, nothing if they cannot be told; None of one that is made
    for these words, which takes any letters. Raises ValueError for an alias of no class.
    """
    unknown = set(aliases) - set(classes)
    if unknown:
        raise ValueError(
            f"anchors.words.{sorted(unknown)[0]} must be a class of the ID data set; "
            f"classes: {', '.join(classes)}"
        )
    if known is None:
        return {name: aliases.get(name, spelled(name) or name) for name in classes}
    joined = {name: "".join(c for c in name.lower() if c.isalnum()) for name in classes}
    instead = {
        name: word for name, word in joined.items()
        if name.strip().lower() not in known and word in known
    }  # fmt: skip
    return {name: aliases.get(name, instead.get(name, name)) for name in classes}


def unknown_words(words: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """Return those of {class name: word} that are no token; tokenizers read lower case."""
    return {name: word for name, word in words.items() if word.strip().lower() not in known}


def whole_words(known: Iterable[str]) -> list[str]:
    """Return the known words of letters alone, in order; a lone letter is none."""
    return sorted(word for word in known if len(word) > 1 and word.isalpha())


def nearest(word: str, candidates: Sequence[str]) -> list[str]:
    """Return the candidates that are spelt most like a word."""
    return difflib.get_close_matches(word.lower(), candidates, NEAREST, 0.5)


def require_letters(words: Mapping[str, str]) -> None:
    """Raise ValueError unless every word is of lower-case letters: what a tokenizer that is made
    for {class name: word} takes as one token."""
    for name, word in words.items():
        if not (word.isascii() and word.isalpha() and word.islower()):
            raise ValueError(
                f"anchors.words.{name} must be lower-case letters a to z alone for a generator "
                f"that is trained here, got {word!r}; give the class such an alias"
            )


def refusal(unknown: Mapping[str, str], known: Iterable[str]) -> str:
    """Return the message that refuses class words, with the nearest ones that are known."""
    candidates, told = whole_words(known), []
    for name, word in unknown.items():
        near = nearest(word, candidates)
        of = f"{name} ({word!r})" if word != name else repr(name)
        told.append(of + (f", near it {', '.join(near)}" if near else ""))
    return (
        "anchors.words must give each class a word that the generator knows as one token; "
        f"{len(told)} {'is' if len(told) == 1 else 'are'} none: {'; '.join(told)}. `bood words` "
        "lists what it knows; a word that stands for something else draws that instead. Or give a "
        "generator that knows them (generator.path), or train one (generator.source: train), or "
        "leave out the rows that decode (only.rows)"
    )
