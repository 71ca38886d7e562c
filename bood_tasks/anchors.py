"""Class anchors: one row of the text encoder's token-embedding table for each class.

No prompt, no positions, no transformer (method: section 1). A class name of several tokens
gives the first one's row, as DreamOOD's published one-word aliases do.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bood_tasks.diffusion import load_pipeline
from bood_tasks.stage import read_job, run
from bood_tasks.store import write_json

VERSION = 1


def pick_tokens(tokenizer, words: Mapping[str, str]) -> list[int]:
    """Return each class's token: the first piece of its word.

    Raises ValueError if a word has no token but the unknown one, or if two classes share one.
    """
    tokens: dict[int, str] = {}
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
    return list(tokens)


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


def read_anchors(
    pipeline: Path, words: Mapping[str, str]
) -> tuple[Float[np.ndarray, "v d"], list[int]]:
    """Return the anchors of a diffusers folder's text encoder, and their token ids."""
    pipe = load_pipeline(pipeline)
    tokens = pick_tokens(pipe.tokenizer, words)
    table = pipe.text_encoder.get_input_embeddings().weight.detach().float().numpy()
    return table[tokens], tokens


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    facts = job.inputs["dataset"].json("dataset.json")
    classes = facts["classes"]
    if len(classes) < 2:
        raise ValueError(
            f"datasets.{facts['name']} must have at least two classes to be the ID data set, got "
            f"{len(classes)}: {', '.join(classes)}; give each class a folder of its own"
        )
    words = class_words(classes, job.settings["words"])
    anchors, tokens = read_anchors(job.inputs["generator"].folder / "pipeline", words)
    with job.draft() as draft:
        draft.save("anchors", anchors)
        names = {"classes": classes, "words": list(words.values()), "token_ids": tokens}
        write_json(draft.folder / "anchors.json", names)
        draft.finish(rows={"anchors": len(anchors)})


if __name__ == "__main__":
    run(main)
