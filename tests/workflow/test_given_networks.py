"""Classifiers of somebody else's through the real workflow: pictures and texts, as they are and
fine-tuned, and then in use."""

import csv
import json
from pathlib import Path

import pytest
import torch

from tests.networks.test_given import BERT
from tests.workflow.conftest import CLASSES, Workdir, write_pictures

pytestmark = pytest.mark.long
SCORES = ["msp", "energy", "knn", "vim", "react", "dice", "mahalanobis", "odin"]
NOTHING_ELSE = {"variants": [], "sweeps": []}


def made(metrics: Path) -> dict[tuple[str, str, str], float]:
    """Return the AUROC of each variant, score and set."""
    with metrics.open(newline="") as handle:
        return {
            (row["variant"], row["score"], row["ood_dataset"]): float(row["value"])
            for row in csv.DictReader(handle)
            if row["metric"] == "auroc"
        }


def test_a_state_dict_of_torchvision_s_is_used_fine_tuned_and_deployed(tmp_path):
    from torchvision import models

    work = Workdir(tmp_path)
    write_pictures(tmp_path / "pictures")
    torch.manual_seed(0)
    torch.save(models.resnet18(num_classes=len(CLASSES)).state_dict(), tmp_path / "resnet18.pth")
    names = sorted(CLASSES, reverse=True)
    overlay = {
        "seeds": [0],
        "detector": {
            "network": {"torchvision": "resnet18", "classes": names}, "pretrained": "resnet18.pth",
            "epochs": 1, "batch_size": 16,
        },
        "rows": {
            "as-it-is": {"method": "ce", "variant": "as it is", "scores": SCORES,
                         "set": {"detector": {"epochs": 0}}},
            "tuned": {"method": "oe", "variant": "tuned", "outliers": "noise",
                      "scores": ["msp", "energy"]},
        },
        "only": {"rows": ["as-it-is", "tuned"], **NOTHING_ELSE},
    }  # fmt: skip
    done = work.snakemake("metrics", overlay=overlay)
    assert done.returncode == 0, done.stdout + done.stderr
    found = made(tmp_path / "results/metrics.csv")
    assert {score for variant, score, _ in found if variant == "as it is"} == set(SCORES)
    assert {score for variant, score, _ in found if variant == "tuned"} == {"msp", "energy"}
    (tmp_path / "resnet18.pth").unlink()
    (scores,) = tmp_path.glob("artifacts/scores/*resnet18*-dice/*/manifest.json")
    given = ("score", "--detector", str(scores.parent), "pictures", "--out", "said.csv")
    done = work.bood_plain(*given)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "said.csv").open(newline="") as handle:
        said = list(csv.DictReader(handle))
    assert len(said) == 50 * len(CLASSES)
    assert {row["class"] for row in said} <= set(CLASSES)
    done = work.bood_plain("export", "--detector", str(scores.parent), "--out", "d.onnx")
    assert done.returncode == 0, done.stderr


def bert(folder: Path) -> None:
    """Write a tiny BERT of two classes with a tokenizer of words, in transformers' layout."""
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = [
        "the",
        "of",
        "a",
        "to",
        "in",
        "that",
        "which",
        "is",
        "or",
        "and",
        "an",
        "for",
        "with",
        "plant",
        "food",
        "eat",
    ]
    vocabulary = {word: number for number, word in enumerate(
        ["the", "[UNK]", "[CLS]", "[PAD]", "[SEP]", *words[1:], *"bcdefghijklm"]
    )}  # fmt: skip
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[PAD]", "[SEP]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 4)]
    )
    shape = {k: v for k, v in BERT.items() if k not in ("architectures", "model_type")}
    config = transformers.BertConfig(**shape, id2label={0: "plant", 1: "food"})
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


def test_a_bert_of_one_s_own_is_used_and_fine_tuned(tmp_path):
    work = Workdir(tmp_path, pictures=False)
    bert(tmp_path / "bert")
    glosses = {
        "kind": "tsv", "file": "embedded:wordnet_glosses.tsv.gz", "text": "definition",
        "label": "lexicographer_file", "classes": {"food": "noun.food", "plant": "noun.plant"},
    }  # fmt: skip
    overlay = {
        "seeds": [0], "id": "glosses", "test": ["verses", "random"], "validation": [],
        "control": [],
        "datasets": {
            "glosses": glosses,
            "verses": {"kind": "lines", "file": "embedded:kjv_verses.txt.gz"},
            "random": {"kind": "random_tokens", "count": 100, "words": 12},
        },
        "vocabulary": {"tokenizer": "bert"}, "tokens": {"words": 12, "min_words": 4},
        "detector": {
            "network": {"transformers": "bert"}, "pretrained": "bert", "epochs": 1,
            "lr": 0.001, "optimiser": "adam",
        },
        "rows": {
            "as-it-is": {"method": "ce", "variant": "as it is", "scores": ["msp", "knn", "dice"],
                         "set": {"detector": {"epochs": 0}}},
            "tuned": {"method": "oe", "variant": "tuned", "outliers": "random"},
        },
        "only": {"rows": ["as-it-is", "tuned"], **NOTHING_ELSE},
    }  # fmt: skip
    done = work.snakemake("goe_tables", overlay=overlay)
    assert done.returncode == 0, done.stdout + done.stderr
    (metrics,) = tmp_path.glob("artifacts/metrics/*/*/metrics.csv")
    found = made(metrics)
    assert {score for variant, score, _ in found if variant == "as it is"} == {"msp", "knn", "dice"}
    assert found["tuned", "msp", "random"] > found["as it is", "msp", "random"]
    (trained,) = tmp_path.glob("artifacts/pretrained/*/*/network/config.json")
    assert json.loads(trained.read_text())["vocab_size"] == BERT["vocab_size"]
    # It is carried away: `bood bundle` compares its scores with the workflow's before it is done.
    (manifest,) = tmp_path.glob("artifacts/scores/outlier_exposure-*-msp/*/manifest.json")
    scores = manifest.parent
    done = work.bood_plain("bundle", "out", "--detector", str(scores))
    assert done.returncode == 0, done.stderr
    (tmp_path / "long.txt").write_text("a plant " * 200)
    (tmp_path / "short.txt").write_text("food")
    done = work.bood_plain("score", "long.txt", "short.txt", "--bundle", "out", "--out", "s.csv")
    assert done.returncode == 1
    assert "short.txt: it has 3 words, fewer than the 4" in done.stderr
    with (tmp_path / "s.csv").open(newline="") as handle:
        assert [row["path"] for row in csv.DictReader(handle)] == ["long.txt"]
