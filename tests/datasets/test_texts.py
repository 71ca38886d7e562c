"""Corpora, vocabulary and tokens: what is read, how it is split, cut and numbered."""

import gzip
import json
import re

import numpy as np
import pytest
from tokenizers import Tokenizer

from bood_tasks.catalogue.corpora import PUBLISHED
from bood_tasks.datasets import corpus, tokens, vocabulary
from bood_tasks.datasets.corpus import read_split
from bood_tasks.datasets.read_texts import read_corpus, read_published, read_utf8, split_of
from bood_tasks.datasets.vocabulary import make_tokenizer
from bood_tasks.scoring import controls, text_statistics
from tests import fake_artifacts
from tests.realdata import needs_realdata, realdata

pytestmark = pytest.mark.usefixtures("nobodys_plan")

TSV = {
    "kind": "tsv", "name": "glosses", "text": "definition", "label": "kind",
    "classes": {"food": "noun.food", "body": "noun.body"}, "other": None, "min_words": 1,
    "validation": 0.2, "test": 0.3,
}  # fmt: skip


def tsv(path, rows):
    text = "kind\tdefinition\n" + "".join(f"{kind}\t{text}\n" for kind, text in rows)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wb") as handle:
        handle.write(text.encode())
    return path


def many(count=200):
    return [
        (f"noun.{kind}", f'{kind} number {i} with "quotes') for i in range(count)
        for kind in ("food", "body")
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["x.tsv", "x.tsv.gz"])
def test_a_text_s_split_is_its_own_whatever_the_order_of_the_file(tmp_path, name):
    rows = many()
    splits, classes = read_corpus(tsv(tmp_path / name, rows), TSV)
    again, _ = read_corpus(tsv(tmp_path / f"b{name}", rows[::-1]), TSV)
    assert classes == ["food", "body"]
    for split, part in splits.items():
        assert set(part.texts) == set(again[split].texts)
        assert all(split_of(text, 0.2, 0.3) == split for text in part.texts)
    sizes = {split: len(part.texts) / 400 for split, part in splits.items()}
    assert sizes["test"] == pytest.approx(0.3, abs=0.08)
    assert sizes["validation"] == pytest.approx(0.2, abs=0.08)
    assert splits["train"].texts[0].endswith('"quotes')
    part = splits["train"]
    assert [rows[i][1] for i in part.index] == part.texts
    assert [("food", "body")[label] for label in part.labels] == [
        text.split()[0] for text in part.texts
    ]


def test_equal_texts_are_taken_once_and_ambiguous_ones_never(tmp_path):
    rows = [*many(), ("noun.food", "food number 3"), ("noun.food", "food number 3"),
            ("noun.food", "in both"), ("noun.act", "in both")]  # fmt: skip
    path = tsv(tmp_path / "x.tsv", rows)
    inside, _ = read_corpus(path, TSV)
    texts = [text for part in inside.values() for text in part.texts]
    assert texts.count("food number 3") == 1
    other = TSV | {"name": "near", "classes": None, "other": ["noun.act"], "validation": 0,
                   "test": 1}  # fmt: skip
    with pytest.raises(ValueError, match=r"datasets\.near must hold texts in its test split"):
        read_corpus(path, other)
    assert "in both" not in texts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "gloss"}, r"must name columns of .*, got 'gloss'; it has kind, definition"),
        ({"classes": {"a": "noun.x"}}, r"must name labels that .* has, got noun\.x"),
        ({"min_words": 99}, r"must hold texts in its train split"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read_corpus(tsv(tmp_path / "x.tsv", many()), TSV | change)


def test_lines_and_folders(tmp_path):
    (tmp_path / "a.txt").write_text("one  two\n\n three\n")
    splits, classes = read_corpus(tmp_path / "a.txt", {"kind": "lines", "name": "a"})
    assert (splits["test"].texts, splits["test"].index, classes) == (
        ["one two", "three"],
        [0, 2],
        [],
    )
    for kind in ("cats", "dogs"):
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for i in range(60):
            (tmp_path / "pets" / kind / f"{i}.txt").write_text(f"{kind}\n{i}")
    settings = {"kind": "texts", "name": "pets", "validation": 0.3, "test": 0.3}
    splits, classes = read_corpus(tmp_path / "pets", settings)
    assert classes == ["cats", "dogs"]
    assert sum(len(part.texts) for part in splits.values()) == 120
    flat, none = read_corpus(tmp_path / "pets" / "cats", settings)
    assert (len(flat["test"].texts), none) == (60, [])


def test_a_file_that_is_not_utf8_is_named_with_its_byte(tmp_path):
    (tmp_path / "a.txt").write_bytes("caf\xe9".encode("latin1"))
    with pytest.raises(ValueError, match=r"a\.txt must be UTF-8, and byte 3 \(0xe9\) is not"):
        read_corpus(tmp_path / "a.txt", {"kind": "lines", "name": "a"})


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_corpus_is_refused(tmp_path, content):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(ValueError, match=r"datasets\.a must hold texts in its test split"):
        read_corpus(tmp_path / "a.txt", {"kind": "lines", "name": "a"})


def test_a_class_without_training_texts_is_named(tmp_path):
    rows = [row for row in many() if row[0] == "noun.food"]
    held = next(t for i in range(99) if split_of(t := f"body {i}", 0.2, 0.3) == "test")
    with pytest.raises(ValueError, match="every class in its train split, got none of body"):
        read_corpus(tsv(tmp_path / "x.tsv", [*rows, ("noun.body", held)]), TSV)


def test_published_corpora_in_their_layout(tmp_path):
    for kind, entry in PUBLISHED.items():
        folder = tmp_path / kind
        settings = {"kind": kind, "name": kind, "validation": 0.2, "stop_words": "kept"}
        with pytest.raises(FileNotFoundError, match=f"{entry.title}.* must lie in .*published at"):
            read_corpus(folder, settings)
        for split, name in entry.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            lines = [
                f"{'rec.autos' if i % 2 else 'sci.med'} {split} text {i}" if entry.labelled
                else f"{split} text {i}" for i in range(80)
            ]  # fmt: skip
            (folder / name).write_text(
                "\n".join([*lines, "", " = Heading = "][: 80 + 2 * (not entry.labelled)])
            )
        splits, classes = read_corpus(folder, settings)
        if entry.labelled:
            assert classes == ["rec.autos", "sci.med"]
            assert len(splits["test"].texts) == 80
            assert len(splits["train"].texts) + len(splits["validation"].texts) == 80
            assert not splits["train"].texts[0].startswith(("rec", "sci"))
        else:
            assert len(splits["test"].texts) == 80 * len(entry.files)


LABELLED = "rec.autos\tthe car is the fastest of all\nsci.med\twhat about\n"


@pytest.mark.parametrize(
    ("stop_words", "expected"),
    [("kept", ["the car is the fastest of all", "what about"]), ("removed", ["car fastest"])],
)
def test_stop_words_go_only_where_asked(tmp_path, stop_words, expected):
    """A text of nothing else is none; the class is never taken for one of them."""
    files = PUBLISHED["newsgroups20"].files
    for name in files.values():
        (tmp_path / name).write_text(LABELLED)
    settings = {"kind": "newsgroups20", "name": "n", "validation": 0, "stop_words": stop_words}
    splits, classes = read_published(tmp_path, settings)
    assert splits["test"].texts == splits["train"].texts == expected
    assert classes == ["rec.autos", "sci.med"]


def test_all_training_texts_train_without_a_validation_share(tmp_path):
    for name in PUBLISHED["newsgroups20"].files.values():
        (tmp_path / name).write_text(LABELLED * 40)
    settings = {"kind": "newsgroups20", "name": "n", "validation": 0, "stop_words": "kept"}
    splits, _ = read_corpus(tmp_path, settings)
    assert {split: len(part.texts) for split, part in splits.items()} == {"train": 80, "test": 80}


def test_the_test_texts_of_multi30k_are_the_published_val_file():
    entry = PUBLISHED["multi30k"]
    assert list(entry.files) == ["test"]
    assert [address.rpartition("/")[2] for address, _ in entry.sources.values()] == ["val.txt"]


CORPORA = {
    "reuters52": {
        "r52-train-stemmed.txt": "reuters52_train.txt.gz",
        "r52-test-stemmed.txt": "reuters52_test.txt.gz",
    },
    "newsgroups20": {
        "20ng-train-no-short.txt": "20newsgroups_bydate_train.txt.gz",
        "20ng-test-no-short.txt": "20newsgroups_bydate_test.txt.gz",
    },
    "multi30k": {"m30k-test.txt": "multi30k_en_val.txt.gz"},
    "wmt16_sentences": {"wmt16_sentences": "wmt16_sentences.txt.gz"},
    "wikitext2": {"wikitext-2/wiki.train.tokens": "wikitext2_valid.txt.gz"},
}


def written_as_published(source, target, kind):
    """Write a real corpus in its published layout: `class TAB text`, letters only, no short words
    (Cachopo's "no-short"); unlabelled ones as they are."""
    for name, file in CORPORA[kind].items():
        text = read_utf8(source / file)
        if PUBLISHED[kind].labelled:
            rows = (line.split("\t", 2) for line in text.splitlines())
            text = "".join(
                f"{label}\t{' '.join(w for w in re.findall('[a-z]+', t.lower()) if len(w) > 2)}\n"
                for label, _, t in rows
            )
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text)


@needs_realdata
@pytest.mark.parametrize(
    ("kind", "classes", "counts"),
    [
        ("newsgroups20", 20, {"train": 11314, "test": 7531}),  # one of stop words alone
        ("reuters52", 52, {"train": 6532, "test": 2568}),
        ("multi30k", 0, {"test": 1014}),
        ("wmt16_sentences", 0, {"test": 22191}),
        ("wikitext2", 0, {"test": 1841}),
    ],
)
def test_real_corpora_are_read_whole(tmp_path, kind, classes, counts):
    written_as_published(realdata() / "text", tmp_path, kind)
    settings = {"kind": kind, "name": kind, "validation": 0, "stop_words": "removed"}
    splits, names = read_corpus(tmp_path, settings)
    assert len(names) == classes
    assert {split: len(part.texts) for split, part in splits.items()} == counts
    assert not any("the" in text.split() for text in splits["test"].texts[:500])


def test_the_commonest_words_are_numbered_and_others_unknown():
    texts = ["The cat, the dog.", "the cat ran", "a bird"]
    tokenizer = make_tokenizer(texts, size=6, min_count=1)
    words = tokenizer.get_vocab()
    assert [words[x] for x in ("[PAD]", "[UNK]", "[EOS]")] == [0, 1, 2]
    assert words["the"] == 3
    assert words["cat"] == 4
    assert words[","] == 5  # of those seen once the first by alphabet
    assert tokenizer.encode("THE cat sings").ids == [3, 4, 1]
    assert make_tokenizer(texts[::-1], size=6, min_count=1).to_str() == tokenizer.to_str()
    with pytest.raises(ValueError, match=r"vocabulary\.min_count must leave some words, got 9"):
        make_tokenizer(texts, size=6, min_count=9)


def test_texts_are_cut_to_one_length_and_short_ones_left_out():
    tokenizer = make_tokenizer(["a b c d e f"], size=20, min_count=1)
    texts = ["a b c d", "a b", "f e d c b a", "c"]
    rows, kept, lengths = tokens.cut(tokenizer, texts, words=3, min_words=2)
    assert rows.tolist() == [[3, 4, 5], [3, 4, 0], [8, 7, 6]]
    assert (kept.tolist(), lengths.tolist()) == ([0, 1, 2], [4, 2, 6])


def test_whole_texts_are_neither_cut_nor_left_out():
    tokenizer = make_tokenizer(["a b c d e f"], size=20, min_count=1)
    texts = ["a b c d", "c", "f e d c b a"]
    rows, kept, lengths = tokens.cut(tokenizer, texts, words=None, min_words=1)
    assert rows.shape == (3, 6)
    assert [[n for n in row if n] for row in rows.tolist()] == [
        tokenizer.encode(text).ids for text in texts
    ]
    assert (kept.tolist(), lengths.tolist()) == ([0, 1, 2], [4, 1, 6])


def test_noise_of_the_commonest_words_stays_below_their_number():
    found = tokens.noise(500, 20, 5000, 0, commonest=100)
    assert (found.min(), found.max()) == (3, 102)
    assert tokens.noise(500, 20, 50, 0, commonest=100).max() == 49  # no more than there are


def test_noise_is_uniform_over_words_and_never_special():
    found = tokens.noise(5000, 4, 13, 0)
    counts = np.bincount(found.ravel(), minlength=13)
    assert counts[:3].sum() == 0
    assert (abs(counts[3:] - 2000) < 200).all()


def chain(root, rows):
    """Run corpus, vocabulary and tokens on a table; return their artifacts."""
    path = tsv(root / "x.tsv", rows)
    settings = {key: value for key, value in TSV.items()} | {"content": "x"}
    spec = fake_artifacts.identity("corpus", settings)
    out = root / "corpus" / "made" / fake_artifacts.digest_of(spec) / "manifest.json"
    corpus.main(["--out", str(out), "--spec", json.dumps(spec), "--source", str(path)])
    made = fake_artifacts.Artifact(out)
    known = fake_artifacts.run_stage(
        root, vocabulary.main, "vocabulary", {"size": 50, "min_count": 2}, {"corpus": made}
    )
    settings = {"name": "glosses", "words": 3, "min_words": 3}
    cut = fake_artifacts.run_stage(
        root, tokens.main, "tokens", settings, {"corpus": made, "vocabulary": known}
    )
    return made, known, cut


def test_stages_from_a_table_to_numbers(tmp_path):
    made, known, cut = chain(tmp_path, many())
    texts = read_split(made, "train")
    assert (
        len(texts) == made.json("corpus.json")["counts"]["train"] == made["train/labels"].shape[0]
    )
    tokenizer = Tokenizer.from_file(str(known.folder / "tokenizer.json"))
    facts = cut.json("dataset.json")
    assert facts["vocabulary"] == known.json("vocabulary.json")["content"]
    assert facts["vocabulary_size"] == tokenizer.get_vocab_size()
    assert facts["classes"] == ["food", "body"]
    first = tokenizer.encode(texts[0]).ids[:3]
    assert cut["train/tokens"][0].tolist() == first
    assert (cut["train/length"][:] >= 3).all()


def test_no_text_long_enough_is_an_error_with_its_cure(tmp_path):
    made, known, _ = chain(tmp_path, many())
    settings = {"name": "glosses", "words": 30, "min_words": 30}
    with pytest.raises(ValueError, match=r"tokens\.min_words = 30 words; lower it"):
        fake_artifacts.run_stage(
            tmp_path, tokens.main, "tokens", settings, {"corpus": made, "vocabulary": known}
        )


def test_length_before_the_cut_stands_on_its_own():
    """Cut to two words, all texts are alike; before the cut they were told apart perfectly."""
    inside = text_statistics.statistics(np.full((10, 2), 5), np.full(10, 2))
    outside = text_statistics.statistics(np.full((10, 2), 5), np.full(10, 9))
    facts = controls.figures(inside, outside, threshold="first")
    assert (facts["statistic"], facts["auroc"]) == ("length", 1.0)
    rest = [{k: v for k, v in each.items() if k != "length"} for each in (inside, outside)]
    assert controls.figures(*rest, threshold="first")["auroc"] == 0.5


def test_statistics_by_hand():
    found = text_statistics.statistics(np.array([[1, 4, 0], [3, 1, 1]]), np.array([2, 7]))
    assert found["length after the cut"].tolist() == [2, 3]
    assert found["unknown words"].tolist() == pytest.approx([1 / 2, 2 / 3])
    assert found["rarity of words"][0] == pytest.approx((np.log(2) + np.log(5)) / 2)
