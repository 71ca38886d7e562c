"""Class names as one word of the generator's tokenizer each."""

from collections.abc import Mapping

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
