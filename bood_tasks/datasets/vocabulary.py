"""The words that classifier and language model know: the commonest of the ID training texts.

Leaves tokenizer.json (tokenizers' word level: lower case, words and punctuation apart) and
vocabulary.json with its size and the SHA-256 of that file, by which others tell whether they number
words alike. Or the tokenizer of a transformers folder, whose padding token's number and ours, PAD,
trade places in all that is stored, so that PAD fills every text: vocabulary.json then has it as
`pad`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.store import Artifact
from bood_tasks.datasets.corpus import read_split
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.networks.padding import UNKNOWN

VERSION = 1
FILE = "tokenizer.json"
END = UNKNOWN + 1
SPECIAL = ("[PAD]", "[UNK]", "[EOS]")


def make_tokenizer(texts: Iterable[str], *, size: int, min_count: int) -> Tokenizer:
    """Return the tokenizer of the `size` commonest words, special ones included.

    Words seen less than `min_count` times are unknown; of equally common ones the alphabet decides.
    Raises ValueError if no word is left.
    """
    normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    splitter = pre_tokenizers.Whitespace()
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    common = sorted(
        (word for word, count in counts.items() if count >= min_count and word not in SPECIAL),
        key=lambda word: (-counts[word], word),
    )[: size - len(SPECIAL)]
    if not common:
        raise ValueError(
            f"vocabulary.min_count must leave some words, got {min_count}; the commonest word is "
            f"seen {max(counts.values(), default=0)} times"
        )
    words = {word: number for number, word in enumerate((*SPECIAL, *common))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=SPECIAL[UNKNOWN]))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    return tokenizer


def read_tokenizer(artifact: Artifact) -> tuple[Tokenizer, str]:
    """Return the tokenizer of a vocabulary or language model, and its file's SHA-256."""
    path = artifact.folder / FILE
    return Tokenizer.from_file(str(path)), hashlib.sha256(path.read_bytes()).hexdigest()


def taken_from(folder: Path) -> tuple[Tokenizer, int]:
    """Return a transformers folder's tokenizer, which cuts and pads nothing, and the number of its
    padding token.

    Raises FileNotFoundError or ValueError for a folder that lacks either.
    """
    path = folder / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"vocabulary.tokenizer must be a folder with {FILE}, got {folder}; save it by "
            "`AutoTokenizer.from_pretrained(folder).save_pretrained(folder)`"
        )
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    config = folder / "config.json"
    given = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    pad = given.get("pad_token_id")
    if pad is None:
        raise ValueError(
            f"vocabulary.tokenizer must have a pad_token_id in config.json, got none in {config}; "
            "write the number of the token that fills texts up"
        )
    return tokenizer, pad


def _counted(job: Job) -> Tokenizer:
    settings = job.settings
    texts = read_split(job.inputs["corpus"], "train")
    return make_tokenizer(texts, size=settings["size"], min_count=settings["min_count"])


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    more = {}
    if job.source:
        tokenizer, more["pad"] = taken_from(Path(job.source))
    else:
        tokenizer = _counted(job)
    with job.draft() as draft:
        path = draft.folder / FILE
        tokenizer.save(str(path))
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        size = tokenizer.get_vocab_size()
        write_json(draft.folder / "vocabulary.json", {"size": size, "content": content} | more)
        draft.finish(rows={"words": size})
