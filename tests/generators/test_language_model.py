"""The language model: its blocks against PyTorch's, its cache, its training and what it draws."""

import gzip
import hashlib
import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn

from bood_tasks import EMBEDDED
from bood_tasks.artifacts.store import Artifact
from bood_tasks.datasets.vocabulary import make_tokenizer
from bood_tasks.generators.language_model import language_model
from bood_tasks.generators.language_model.language_model import (
    columns,
    load_language_model,
    next_word_loss,
    numbered,
    perplexity,
    plateau_lr,
    stream,
    train,
)
from bood_tasks.generators.language_model.transformer import Shape, Transformer, positions, sample
from bood_tasks.synthesis import texts
from tests import fake_artifacts

pytestmark = pytest.mark.usefixtures("nobodys_plan")

SHAPE = Shape(words=11, layers=2, width=8, heads=2, hidden=16, dropout=0.0, tied=True)
SETTINGS = {
    "source": "train", "layers": 1, "width": 16, "heads": 2, "hidden": 32, "dropout": 0.1,
    "context": 6, "epochs": 2, "batch_size": 8, "lr": 0.01, "tied": True, "precision": "fp32",
    "stored": "float32", "seed": 0, "optimiser": "adam", "schedule": "cosine", "clip_norm": 0.25,
    "order": "shuffled",
}  # fmt: skip


def lively(shape=SHAPE, seed=0):
    torch.manual_seed(seed)
    model = Transformer(shape).eval()
    nn.init.normal_(model.embedding.weight)
    return model


def words(count=5, length=7, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(3, 11, (count, length), generator=rng)


def test_blocks_compute_what_pytorch_s_layers_do():
    model, x = lively(), words()
    states = model.embedding(x) * math.sqrt(8) + positions(0, 7, 8, "cpu")
    mask = nn.Transformer.generate_square_subsequent_mask(7)
    for block in model.blocks:
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True).eval()
        layer.self_attn.in_proj_weight.data = block.qkv.weight.data
        layer.self_attn.in_proj_bias.data = block.qkv.bias.data
        layer.self_attn.out_proj.load_state_dict(block.out.state_dict())
        for mine, theirs in (("first", "linear1"), ("second", "linear2")):
            getattr(layer, theirs).load_state_dict(getattr(block, mine).state_dict())
        layer.norm1.load_state_dict(block.norms[0].state_dict())
        layer.norm2.load_state_dict(block.norms[1].state_dict())
        states = layer(states, src_mask=mask, is_causal=True)
    expected = states @ model.embedding.weight.T + model.bias
    torch.testing.assert_close(model(x)[0], expected, rtol=1e-4, atol=1e-5)


def test_positions_by_hand():
    found = positions(3, 2, 4, "cpu")
    expected = [[math.sin(p), math.cos(p), math.sin(p / 100), math.cos(p / 100)] for p in (3, 4)]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_later_words_do_not_change_earlier_logits():
    model, x = lively(), words()
    other = x.clone()
    other[:, 4] = (other[:, 4] - 3 + 1) % 8 + 3
    one, two = model(x)[0], model(other)[0]
    torch.testing.assert_close(one[:, :4], two[:, :4])
    assert not torch.allclose(one[:, 4:], two[:, 4:])


def drawn(model, *, cached=True, temperature=1.0, count=200, length=6, rows=None):
    given = torch.from_numpy(texts.uniforms(np.arange(count), length, 0))
    given = given if rows is None else given[rows]
    return sample(model, given, temperature=temperature, start=2, never=(0, 2), cached=cached)


def test_logits_that_are_not_finite_are_refused_with_the_setting():
    model = lively()
    model.bias.data[3] = float("nan")
    with pytest.raises(ValueError, match=r"logits must be finite.*set texts\.dtype: float32"):
        drawn(model)


@pytest.mark.parametrize("tied", [True, False])
def test_texts_are_the_same_with_and_without_the_cache(tied):
    model = lively(Shape(11, 2, 8, 2, 16, 0.0, tied))
    one = drawn(model)
    assert torch.equal(one, drawn(model, cached=False))
    assert not ((one == 0) | (one == 2)).any()
    assert len(torch.unique(one)) > 3


def test_a_text_does_not_depend_on_its_batch():
    model = lively()
    whole = drawn(model)
    alone = torch.cat([drawn(model, rows=slice(i, i + 1)) for i in range(20)])
    assert torch.equal(whole[:20], alone)


def test_first_words_follow_the_model_s_probabilities():
    model = lively()
    logits = model(torch.tensor([[2]]))[0][0, 0].double() / 0.7
    logits[[0, 2]] = -math.inf
    expected = logits.softmax(0)
    first = drawn(model, temperature=0.7, count=20_000, length=1)[:, 0]
    share = torch.bincount(first, minlength=11) / len(first)
    assert (share - expected).abs().max() < 0.015


def entropy(found):
    share = torch.bincount(found.flatten(), minlength=11).double() / found.numel()
    return -(share * share.clamp(min=1e-12).log()).sum().item()


def test_entropy_rises_with_the_temperature_and_cold_texts_are_all_the_likeliest():
    model = lively()
    found = [entropy(drawn(model, temperature=t)) for t in (0.2, 1.0, 5.0, 1e6)]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(math.log(9), abs=0.02)
    cold = drawn(model, temperature=1e-6)
    assert len(torch.unique(cold, dim=0)) == 1


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_temperatures_that_cannot_be_are_refused(temperature):
    with pytest.raises(ValueError, match=r"texts\.temperature must be positive and finite"):
        texts.require_temperature(temperature)


def sentences(count=300, seed=0):
    """A toy language: after word w comes w + 1 mod 8, nine times of ten."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        word, text = int(rng.integers(8)), []
        for _ in range(6):
            text.append(word + 3)
            word = (word + 1) % 8 if rng.random() < 0.9 else int(rng.integers(8))
        found.append(np.array([*text, 2]))
    return found


def test_a_stream_holds_every_word_in_order():
    rows = stream([np.array([3, 4, 2]), np.array([5, 2])], 2, np.array([1, 0]))
    assert rows.tolist() == [[2, 5, 2], [2, 3, 4]]  # the last [EOS] does not fill a row
    with pytest.raises(ValueError, match="context must be at most the 3 words"):
        stream([np.array([3, 4, 2])], 4, np.array([0]))


def test_training_beats_the_words_frequencies(tmp_path):
    model, curve, _ = train(
        sentences(), sentences(100, 1), Shape(11, 1, 16, 2, 32, 0.1, True),
        SETTINGS | {"epochs": 8}, checkpoint=tmp_path / "c", device="cpu",
    )  # fmt: skip
    held = stream(sentences(100, 1), 6, np.arange(100))
    share = np.bincount(np.concatenate(sentences()), minlength=11) / (300 * 7)
    unigram = np.exp(-np.log(share[held[:, 1:]]).mean())
    assert curve[-1]["perplexity"] == pytest.approx(perplexity(model, held, "cpu"))
    assert curve[-1]["perplexity"] < 0.5 * unigram


def test_columns_are_those_of_pytorch_s_example():
    """Its own comment: of the alphabet and columns of 4, 'g' never follows 'f'. Here [EOS] opens
    the stream, and 23 of 24 words fill 4 columns of 5."""
    words = [np.arange(3, 13), np.arange(13, 25)]
    steps = columns(words, 2, 4)
    assert [step.tolist() for step in steps] == [
        [[2, 3, 4], [7, 8, 9], [12, 13, 14], [17, 18, 19]],
        [[4, 5, 6], [9, 10, 11], [14, 15, 16], [19, 20, 21]],
    ]
    short = columns(words, 3, 4)[-1]
    assert short.tolist() == [[5, 6], [10, 11], [15, 16], [20, 21]]
    with pytest.raises(ValueError, match="batch_size must be at most half the 23 words"):
        columns(words, 2, 20)


def test_the_rate_falls_to_a_quarter_after_each_pass_that_is_no_best():
    found = [plateau_lr([9, 7, 8, 7, 6][:done], 20) for done in range(6)]
    assert found == [20, 20, 20, 5, 1.25, 1.25]


PLATEAU = {"optimiser": "sgd", "schedule": "plateau", "order": "stream", "clip_norm": 0.25}


def test_a_step_of_plain_sgd_is_the_rate_times_the_clipped_gradient(tmp_path):
    shape = Shape(11, 1, 16, 2, 32, 0.0, True)
    texts_, held = sentences(8), sentences(20, 1)
    size = sum(map(len, texts_)) // 2  # one step a pass
    settings = SETTINGS | PLATEAU | {"epochs": 1, "batch_size": 1, "context": 2 * size, "lr": 20.0}
    start, _, _ = train(texts_, held, shape, settings | {"lr": 1e-30}, checkpoint=tmp_path / "a",
                        device="cpu")  # fmt: skip
    after, _, _ = train(texts_, held, shape, settings, checkpoint=tmp_path / "b", device="cpu")
    start.zero_grad()
    next_word_loss(start, torch.from_numpy(columns(texts_, 2 * size, 1)[0])).backward()
    torch.nn.utils.clip_grad_norm_(start.parameters(), 0.25)
    for before, moved in zip(start.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(before - 20 * before.grad, moved)


def test_the_best_pass_is_kept(tmp_path, monkeypatch):
    """Of three passes the second is best: what two passes leave."""
    found = {}
    for epochs in (2, 3):
        told = iter([9.0, 7.0, 8.0])
        monkeypatch.setattr(language_model, "perplexity", lambda *_, told=told: next(told))
        settings = SETTINGS | PLATEAU | {"epochs": epochs}
        shape, folder = Shape(11, 1, 16, 2, 32, 0.1, True), tmp_path / str(epochs)
        folder.mkdir()
        model, curve, _ = train(
            sentences(20), sentences(10, 1), shape, settings, checkpoint=folder / "c", device="cpu"
        )
        found[epochs] = model.state_dict()
    assert len(curve) == 3
    for name, value in found[2].items():
        assert torch.equal(value, found[3][name]), name


@pytest.mark.parametrize("more", [{}, PLATEAU | {"lr": 2.0}])
def test_a_killed_training_ends_with_the_same_weights(tmp_path, monkeypatch, more):
    def run(name):
        shape, folder = Shape(11, 1, 16, 2, 32, 0.1, True), tmp_path / name
        folder.mkdir(exist_ok=True)
        return train(
            sentences(40), sentences(10, 1), shape, SETTINGS | more, checkpoint=folder / "c",
            device="cpu",
        )  # fmt: skip

    whole, curve, _ = run("a")
    monkeypatch.setattr(language_model, "STEPS_PER_CHECKPOINT", 3)
    calls = 0

    def dies(model, rows, reduction="mean"):
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return next_word_loss(model, rows, reduction)

    monkeypatch.setattr(language_model, "next_word_loss", dies)
    with pytest.raises(KeyboardInterrupt):
        run("b")
    resumed, again, _ = run("b")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert [row["perplexity"] for row in again] == [row["perplexity"] for row in curve]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Corpus, vocabulary and a model trained on them by the stage."""
    root = tmp_path_factory.mktemp("lm")
    lines = [" ".join(f"w{i}" for i in text[:-1]) for text in sentences(60)]
    content = "\n".join(lines) + "\n"
    corpus = fake_artifacts.make(
        root, "corpus", arrays={"train/labels": np.zeros(60), "validation/labels": np.zeros(60)},
        files={"train.txt": content, "validation.txt": content},
    )  # fmt: skip
    tokenizer = make_tokenizer(lines, size=30, min_count=1)
    sha = hashlib.sha256(tokenizer.to_str(pretty=True).encode()).hexdigest()
    vocabulary = fake_artifacts.make(
        root, "vocabulary",
        files={
            "tokenizer.json": tokenizer.to_str(pretty=True),
            "vocabulary.json": {"size": tokenizer.get_vocab_size(), "content": sha},
        },
    )  # fmt: skip
    inputs = {"corpus": corpus, "vocabulary": vocabulary}
    model = fake_artifacts.run_stage(root, language_model.main, "language_model", SETTINGS, inputs)
    return root, vocabulary, model


def shard(root, model, then=(), **more):
    settings = {
        "seed": 0, "temperature": 2.0, "words": 5, "start": 0, "stop": 9, "dtype": "float32"
    } | more  # fmt: skip
    given = {"language_model": model}
    return fake_artifacts.run_stage(root, texts.main, "texts", settings, given, then)


def test_a_pack_is_made_by_one_job(tmp_path, made):
    _, _, model = made
    shard(tmp_path / "pack", model, then=["4-9"], start=0, stop=4)
    alone = shard(tmp_path / "alone", model, start=4, stop=9)
    (packed,) = (tmp_path / "pack").rglob(f"{alone.folder.name}/manifest.json")
    assert np.array_equal(Artifact(packed)["tokens"][:], alone["tokens"][:])


def test_items_do_not_depend_on_their_shard(tmp_path, made):
    _, vocabulary, model = made
    whole = shard(tmp_path, model)
    parts = [shard(tmp_path, model, start=a, stop=b) for a, b in ((0, 4), (4, 9))]
    joined = np.concatenate([part["tokens"][:] for part in parts])
    assert np.array_equal(joined, whole["tokens"][:])
    facts = whole.json("outliers.json")
    assert facts["vocabulary"] == vocabulary.json("vocabulary.json")["content"]
    assert facts["parameters"] == {"temperature": 2, "words": 5}
    lines = (whole.folder / "texts.txt").read_text().splitlines()
    assert [len(line.split()) for line in lines] == [5] * 9


def test_a_killed_shard_goes_on_after_its_last_block(tmp_path, made, monkeypatch):
    model = made[2]
    whole = shard(tmp_path / "a", model)["tokens"][:]
    monkeypatch.setattr(texts, "ROWS_PER_BLOCK", 4)
    monkeypatch.setattr(texts, "BATCH_ON_CPU", 2)
    calls, real = 0, texts.draw

    def dies(*given, **more):
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return real(*given, **more)

    monkeypatch.setattr(texts, "draw", dies)
    with pytest.raises(KeyboardInterrupt):
        shard(tmp_path / "b", model)
    assert np.array_equal(shard(tmp_path / "b", model)["tokens"][:], whole)
    assert calls == 7  # the second block's two, once more, and the last


def at_hand(root, folder, vocabulary):
    settings = {"source": "local", "content": "x"}
    spec = fake_artifacts.identity("language_model", settings, {"vocabulary": vocabulary})
    out = root / "lm" / "made" / fake_artifacts.digest_of(spec) / "manifest.json"
    given = ["--in", str(vocabulary.manifest), "--out", str(out), "--spec", json.dumps(spec)]
    language_model.main([*given, "--source", str(folder)])
    return fake_artifacts.Artifact(out)


def test_a_model_at_hand_is_the_one_that_was_trained(tmp_path, made):
    _, vocabulary, model = made
    again = at_hand(tmp_path, model.folder, vocabulary)
    one, other = (load_file(x.folder / "model.safetensors") for x in (model, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_another_vocabulary_is_refused_before_any_work(tmp_path, made):
    _, _, model = made
    other = fake_artifacts.make(
        tmp_path, "vocabulary",
        files={"tokenizer.json": "{}", "vocabulary.json": {"size": 7, "content": "0" * 64}},
    )  # fmt: skip
    with pytest.raises(ValueError, match="must have the classifier's vocabulary, which has 7 wor"):
        at_hand(tmp_path, model.folder, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("bias"), "lacks bias"),
        (lambda s: s.update(extra=torch.ones(1)), "has also extra"),
        (lambda s: s["bias"].fill_(math.nan), "bias must be finite"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, made, change, message):
    _, vocabulary, model = made
    folder = tmp_path / "given"
    folder.mkdir()
    for name in ("model.json", "tokenizer.json"):
        (folder / name).write_bytes((model.folder / name).read_bytes())
    state = load_file(model.folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        at_hand(tmp_path, folder, vocabulary)


def test_the_shipped_model_knows_definitions_better_than_their_words_frequencies():
    folder = EMBEDDED / "language_model"
    model = load_language_model(folder, json.loads((folder / "model.json").read_text()), "cpu")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    with gzip.open(EMBEDDED / "wordnet_glosses.tsv.gz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    told = [row[3] for row in rows if row[0] in ("noun.food", "noun.animal")][:800]
    found = numbered(tokenizer, told)
    counts = np.bincount(np.concatenate(found))
    shares = counts[counts > 0] / counts.sum()
    unigram = math.exp(-(shares * np.log(shares)).sum())
    assert perplexity(model, stream(found, 20, np.arange(len(found))), "cpu") < 0.5 * unigram
