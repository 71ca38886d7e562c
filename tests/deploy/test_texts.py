"""Detectors of texts in use, from files to scores as the stages have them."""

import json
import unicodedata

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bood_tasks import load_detector
from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.store import Artifact, Draft
from bood_tasks.cli.main import main
from bood_tasks.datasets import corpus, tokens, vocabulary
from bood_tasks.datasets.corpus import read_split
from bood_tasks.datasets.vocabulary import make_tokenizer
from bood_tasks.deploy import inputs
from bood_tasks.deploy.words import encoder_of, split_words
from bood_tasks.detectors.model import DESCRIPTION, build
from bood_tasks.networks.gru import GRUClassifier
from bood_tasks.networks.weights import initialised, save_weights
from bood_tasks.scoring import outputs, scores
from tests import fake_artifacts

WORDS = {"cats": "purr meow tail whisker", "dogs": "bark fetch tail kennel"}
SEEN = {"words": None, "min_words": 2}


class Texts:
    """The way of a detector of texts through the real stages, with random weights."""

    def __init__(self, root):
        self.root, rng = root, np.random.default_rng(0)
        for label, words in WORDS.items():
            (root / "mine" / label).mkdir(parents=True)
            for number in range(60):
                text = " ".join(
                    rng.choice([*words.split(), "Naïve", "it's", "3.5"], 5 + number % 9)
                )
                (root / "mine" / label / f"{number:02}.txt").write_text(text + " .\n")
        (root / "other.txt").write_text(
            "\n".join(["ship mast tail", "sea Sea SEA bark", "x y"] * 7)
        )
        shares = {"validation": 0.3, "test": 0.3}
        mine = {"name": "mine", "kind": "texts", **shares}
        self.corpora = [
            self._stage(corpus.main, "corpus", mine, {}, root / "mine"),
            self._stage(
                corpus.main, "corpus", {"name": "other", "kind": "lines"}, {}, root / "other.txt"
            ),
        ]
        self.vocabulary = self._stage(
            vocabulary.main, "vocabulary", {"size": 30, "min_count": 1}, {"corpus": self.corpora[0]}
        )
        self.data = [
            self._stage(
                tokens.main, "tokens", SEEN | {"name": name},
                {"corpus": made, "vocabulary": self.vocabulary},
            )
            for name, made in zip(("mine", "other"), self.corpora, strict=True)
        ]  # fmt: skip
        self.detector = self._detector()
        over = {"datasets": ["mine", "other"], "id": "mine", "crop": None}
        given = {"detector": self.detector, "datasets": self.data}
        made = self._stage(outputs.main, "outputs", over, given)
        self.scores = self._stage(
            scores.main, "scores", {"score": "energy", "id": "mine"}, {"outputs": made}
        )

    def _stage(self, main, stage, settings, given, source="") -> Artifact:
        return fake_artifacts.run_stage(self.root, main, stage, settings, given, source=str(source))

    def _detector(self) -> Artifact:
        size = self.data[0].json("dataset.json")["vocabulary_size"]
        shape = {"network": "gru", "embedding": 5, "hidden": 8, "layers": 2, "lead": 3}
        description = shape | {
            "vocabulary": size, "classes": 2, "method": "cross_entropy", "settings": {}
        }  # fmt: skip
        model = initialised(lambda: build(description), 0)
        model.network.head.weight.data *= 10
        spec = fake_artifacts.identity("detector", {"method": "cross_entropy", "network": "gru"})
        manifest = self.root / "artifacts/detector/gru" / fake_artifacts.digest_of(spec)
        with Draft(manifest / "manifest.json", spec) as draft:
            save_weights(model, draft.folder / "model.safetensors")
            write_json(draft.folder / DESCRIPTION, description)
            draft.finish()
        return Artifact(manifest / "manifest.json")

    def texts(self, number: int) -> list[str]:
        """Return the test texts of a corpus, as long as the classifier takes them."""
        return [text for text in read_split(self.corpora[number], "test") if len(text.split()) > 1]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Texts:
    return Texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def bundled(made, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "mine.zip"
    with pytest.raises(SystemExit) as caught:
        main(["bundle", "--detector", str(made.scores.folder), "--zip", str(out)])
    assert caught.value.code == 0
    return out


def test_artifact_and_bundle_score_texts_as_the_stages_did(made, bundled, tmp_path):
    for detector in (load_detector(made.scores.folder), load_detector(bundled)):
        assert detector.kind == "texts"
        for number, name in enumerate(("mine", "other")):
            found = detector(made.texts(number))
            np.testing.assert_allclose(
                found.scores, made.scores[f"{name}/test/score"][:], rtol=1e-4
            )
        (tmp_path / "a.txt").write_text(made.texts(0)[1])
        one = detector([tmp_path / "a.txt", made.texts(0)[1].encode()])
        np.testing.assert_allclose(one.scores, made.scores["mine/test/score"][1], rtol=1e-4)


def test_folders_lines_lists_and_stdin(made, bundled, tmp_path, monkeypatch, capsys):
    class Stdin:
        buffer = None

    def score(*given, stdin=b"", code=0):
        import io

        Stdin.buffer = io.BytesIO(stdin)
        monkeypatch.setattr("sys.stdin", Stdin)
        out = tmp_path / "out.jsonl"
        with pytest.raises(SystemExit) as caught:
            main(["score", "--bundle", str(bundled), "--out", str(out), *map(str, given)])
        assert caught.value.code == code, capsys.readouterr().err
        return [json.loads(line) for line in out.read_text().splitlines()]

    folder = tmp_path / "in"
    folder.mkdir()
    texts = made.texts(0)[:3]
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text)
    (folder / "empty.txt").write_text(" \n")
    (folder / "latin.txt").write_bytes(b"caf\xe9 caf\xe9")
    rows = score(folder, code=1)
    by_name = {row["path"].rpartition("/")[2]: row for row in rows}
    wanted = made.scores["mine/test/score"][:3]
    found = [by_name[f"{number}.txt"]["score"] for number in range(3)]
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert "no word" in by_name["empty.txt"]["error"]
    assert "must be UTF-8" in by_name["latin.txt"]["error"]
    lines = "\n".join(texts).encode()
    (tmp_path / "lines.txt").write_bytes(lines)
    for rows in (score("--lines", tmp_path / "lines.txt"), score("--lines", "-", stdin=lines)):
        np.testing.assert_allclose([row["score"] for row in rows], wanted, rtol=1e-4)
    assert rows[2]["path"] == "standard input:3"
    (row,) = score("-", stdin=texts[1].encode())
    assert row["score"] == pytest.approx(wanted[1], rel=1e-4)
    named = b"\0".join([str(folder / "0.txt").encode(), b"absent.txt", b"x" * 5000, b""])
    rows = score("--list", "-", stdin=named, code=1)
    assert ["error" in row for row in rows] == [False, True, True]


def test_the_graph_takes_tokens_of_any_number_and_length(made, tmp_path):
    file = tmp_path / "m.onnx"
    main(["export", "--detector", str(made.scores.folder), "--out", str(file)])
    session = onnxruntime.InferenceSession(file)
    said = session.get_modelmeta().custom_metadata_map
    words = {word: number for number, word in enumerate(json.loads(said["vocabulary"]))}
    assert said["words"] == ""
    assert said["min_words"] == "2"
    text = made.texts(0)[4]
    ids = np.int32([[words.get(word, 1) for word in split_words(text)]])
    score, logits = session.run(["score", "logits"], {"tokens": ids})
    assert score[0] == pytest.approx(made.scores["mine/test/score"][4], rel=1e-4)
    assert logits.shape == (1, 2)


def test_scores_do_not_depend_on_the_texts_beside_them(bundled, monkeypatch):
    detector = load_detector(bundled)
    texts = ["tail tail", "purr " * 400, "meow bark", "fetch " * 90]
    alone = [detector([text]).scores[0] for text in texts]
    np.testing.assert_allclose(detector(texts).scores, alone, rtol=1e-5)
    monkeypatch.setattr(inputs, "MOST_WORDS", 500)
    sizes = [rows.shape for rows in detector.input.batches(detector.read(texts))]
    assert max(a * b for a, b in sizes) <= 500
    np.testing.assert_allclose(detector(texts).scores, alone, rtol=1e-5)
    assert "600 words, more than 500" in detector.read(["purr " * 600])[0]


def test_other_things_than_texts_are_refused(bundled):
    detector = load_detector(bundled)
    for bad, message in (("a text", "must be a list, got one str"), ([3], "text 0 must be a text")):
        with pytest.raises(TypeError, match=message):
            detector(bad)
    with pytest.raises(ValueError, match=r"1 texts are unreadable: text 0: it has 1 word, fewer"):
        detector(["tail"])


def test_a_graph_s_gru_is_the_network_s(monkeypatch):
    """The graph asks for no length and orders gates otherwise; here by torch, gate by gate."""
    network = GRUClassifier(vocabulary=9, embedding=3, hidden=4, layers=2, outputs=2, lead=2).eval()

    def gru(kind, given, attrs, dtypes, shapes, version):
        words, weight, recurrent, biases, lengths, state = given
        wi, wh = weight[0].chunk(3), recurrent[0].chunk(3)
        bi, bh = biases[0].chunk(2)[0].chunk(3), biases[0].chunk(2)[1].chunk(3)
        state, states = state[0], []
        for t, x in enumerate(words):
            z, r = (torch.sigmoid(x @ wi[k].T + bi[k] + state @ wh[k].T + bh[k]) for k in (0, 1))
            new = torch.tanh(x @ wi[2].T + bi[2] + r * (state @ wh[2].T + bh[2]))
            state = torch.where((t < lengths)[:, None], (1 - z) * new + z * state, state)
            states.append(state)
        return torch.stack(states)[:, None], state[None]

    monkeypatch.setattr("torch.onnx.ops.symbolic_multi_out", gru)
    x = torch.tensor([[3, 4, 5, 0], [6, 7, 8, 3], [4, 0, 0, 0]])
    with torch.no_grad():
        torch.testing.assert_close(network._exported(x), network.stages(x)[0])


KNOWN = make_tokenizer(["the cat 's naïve 3 . ² κατ σας İ कि"], size=40, min_count=1)
ASSIGNED = st.characters(exclude_categories=["Cs", "Cn", "Co"])


@given(
    st.lists(
        st.one_of(
            st.text(ASSIGNED, max_size=8),
            st.sampled_from(["ΣΑΣ", "कि", "İ", "e\u0301", "a\u200db", "x\x1cy", "Ⓐb"]),
        )
    )
)
def test_words_are_those_of_the_library(parts):
    text = " ".join(parts)
    if any(unicodedata.category(sign) in ("Cn", "Cs") for sign in text):
        return
    encode = encoder_of(KNOWN.to_str().encode())
    lower = KNOWN.normalizer.normalize_str(text)
    wanted = [word for word, _ in KNOWN.pre_tokenizer.pre_tokenize_str(lower)]
    assert list(split_words(text)) == wanted
    assert encode(text) == KNOWN.encode(text).ids


def test_another_tokenizer_is_run_by_its_library():
    other = json.loads(KNOWN.to_str())
    other["normalizer"] = {"type": "NFD"}
    content = json.dumps(other).encode()
    assert (
        encoder_of(content)("the Cat") == Tokenizer.from_str(content.decode()).encode("the Cat").ids
    )
