"""Texts as a detector's classifier reads them, without the library that made its vocabulary.

What `tokenizers` does with a vocabulary of ours (datasets/vocabulary.py): Unicode NFC, lower case
character by character, runs of word characters and runs of other signs apart, unknown words as one
number. Word characters and white space are Unicode's (UTS 18, annex C), which are not those of
Python's `re`: a vowel sign belongs to its word, a raised 2 does not.
"""

import json
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from itertools import groupby

from bood_tasks.networks.padding import PAD

Encode = Callable[[str], list[int]]
NORMALIZER = {
    "type": "Sequence",
    "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}],
}
CIRCLED = ((0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189))
JOINERS = "\u200c\u200d"
SPACES = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | frozenset(
    map(chr, range(0x2000, 0x200B))
)


@cache
def _kind(sign: str) -> str:
    """Return what a character is: of a word, white space or another sign."""
    if sign in SPACES:
        return "space"
    category = unicodedata.category(sign)
    if category[0] in "LM" or category in ("Nd", "Nl", "Pc") or sign in JOINERS:
        return "word"
    return "word" if any(low <= ord(sign) <= high for low, high in CIRCLED) else "sign"


def split_words(text: str) -> Iterator[str]:
    """Yield the words of a text in lower case, and runs of other signs.

    >>> list(split_words("It's 3.5 km²!"))
    ['it', "'", 's', '3', '.', '5', 'km', '²!']
    """
    lower = "".join(sign.lower() for sign in unicodedata.normalize("NFC", text))
    for kind, signs in groupby(lower, _kind):
        if kind != "space":
            yield "".join(signs)


def encoder_of(content: bytes, *, pad: int | None = None, words: int | None = None) -> Encode:
    """Return what turns a text into numbers, by a tokenizer.json.

    One that is not a vocabulary of ours needs the library `tokenizers`. `pad`: its padding token's
    number, which trades places with PAD; it keeps the tokens that begin and end a text where that
    is cut at `words`, as datasets/tokens.py has it. Raises ValueError where the library is not
    there.
    """
    given = json.loads(content)
    model = given.get("model", {})
    ours = given.get("normalizer") == NORMALIZER and model.get("type") == "WordLevel"
    if ours and given.get("pre_tokenizer") == {"type": "Whitespace"}:
        numbers = model["vocab"]
        unknown = numbers[model["unk_token"]]
        return lambda text: [numbers.get(word, unknown) for word in split_words(text)]
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ValueError(
            "the detector's tokenizer is not a vocabulary of this package and needs the library "
            "tokenizers; install it: pip install tokenizers"
        ) from None
    whole = Tokenizer.from_str(content.decode("utf-8"))
    if pad is None:
        return lambda text: whole.encode(text).ids
    if words is not None:
        whole.enable_truncation(words)
    places = {pad: PAD, PAD: pad}
    return lambda text: [places.get(number, number) for number in whole.encode(text).ids]
