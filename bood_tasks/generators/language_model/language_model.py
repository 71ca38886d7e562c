"""The language model that outlier texts are drawn from: trained on the ID texts, or at hand.

Training texts, each followed by [EOS], form one stream a pass, cut into rows of `context` words;
the loss is the next word's cross-entropy. PyTorch's word_language_model example, which GOE trains,
is `optimiser: sgd, schedule: plateau, order: stream, lr: 20`. Leaves model.safetensors, model.json,
tokenizer.json and, if trained, curve.csv with the perplexity of held-out texts after each pass.
"""

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int64
from tokenizers import Tokenizer
from torch import Tensor

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.artifacts.store import Artifact, Draft
from bood_tasks.datasets.corpus import read_split
from bood_tasks.datasets.vocabulary import END, FILE, read_tokenizer
from bood_tasks.generators.language_model.transformer import Shape, Transformer
from bood_tasks.jobs import seeds
from bood_tasks.jobs.environment import pick_device
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.jobs.progress import progress
from bood_tasks.networks.weights import read_weights, require_fitting, write_weights
from bood_tasks.training.checkpoint import load_checkpoint, save_checkpoint
from bood_tasks.training.curve import write_curve
from bood_tasks.training.recipe import clip_gradients, cosine_lr, require_finite

VERSION = 1
WEIGHTS, MODEL = "model.safetensors", "model.json"
SHAPE = ("layers", "width", "heads", "hidden", "dropout", "tied")
STEPS_PER_CHECKPOINT = 200
ROWS_AT_ONCE = 256  # of a pass that learns nothing


def numbered(tokenizer: Tokenizer, texts: Iterable[str]) -> list[Int64[np.ndarray, " _"]]:
    """Return each text's words as numbers, [EOS] behind them."""
    found = tokenizer.encode_batch(list(texts))
    return [np.array([*item.ids, END], np.int64) for item in found]


def stream(
    texts: list[Int64[np.ndarray, " _"]], context: int, order: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, "r c"]:
    """Return texts in an order as rows of context + 1 words: a row's last word opens the next.

    The stream begins with [EOS]; what does not fill a row is left out.
    """
    words = np.concatenate([np.array([END]), *(texts[number] for number in order)])
    rows = (len(words) - 1) // context
    if rows < 1:
        raise ValueError(
            f"language_model.train.context must be at most the {len(words) - 1} words of the "
            f"corpus, got {context}; lower it"
        )
    starts = np.arange(rows)[:, None] * context
    return words[starts + np.arange(context + 1)]


def columns(
    texts: list[Int64[np.ndarray, " _"]], context: int, count: int
) -> list[Int64[np.ndarray, "count _"]]:
    """Return the steps of a pass over texts as one stream in `count` equal columns (batchify and
    get_batch of PyTorch's example): `context` + 1 words of each, fewer in the last step. What does
    not fill the columns is left out."""
    words = np.concatenate([np.array([END]), *texts])
    length = len(words) // count
    if length < 2:
        raise ValueError(
            f"language_model.train.batch_size must be at most half the {len(words)} words of the "
            f"corpus with order: stream, got {count}; lower it"
        )
    found = words[: length * count].reshape(count, length)
    return [found[:, start : start + context + 1] for start in range(0, length - 1, context)]


def plateau_lr(perplexities: Iterable[float], lr: float) -> float:
    """Return the rate after passes of these perplexities: a quarter for each that was no best."""
    best = math.inf
    for found in perplexities:
        best, lr = (found, lr) if found < best else (best, lr / 4)
    return lr


def next_word_loss(
    model: Transformer, rows: Int64[Tensor, "b t"], reduction: str = "mean"
) -> Tensor:
    """Return the cross-entropy of each row's words 1.. from those before."""
    logits, _ = model(rows[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten(), reduction=reduction)


@torch.no_grad()
def perplexity(model: Transformer, rows: Int64[np.ndarray, "r c"], device: str) -> float:
    """Return exp of the mean cross-entropy of all words but the first of each row."""
    model.eval()
    total = sum(
        next_word_loss(
            model, torch.from_numpy(rows[start : start + ROWS_AT_ONCE]).to(device), "sum"
        ).item()
        for start in range(0, len(rows), ROWS_AT_ONCE)
    )
    model.train()
    return math.exp(total / rows[:, 1:].size)


def train(
    texts: list[Int64[np.ndarray, " _"]],
    held: list[Int64[np.ndarray, " _"]],
    shape: Shape,
    settings: Mapping,
    *,
    checkpoint: Path,
    device: str,
) -> tuple[Transformer, list[dict], float]:
    """Return the trained model, its curve (loss and held-out perplexity of each pass) and the
    words a second. A killed run goes on from its checkpoint to the same weights."""
    seed, context, size = settings["seed"], settings["context"], settings["batch_size"]
    with torch.random.fork_rng():
        torch.manual_seed(seeds.stream(seed, "language_model", "weights"))
        model = Transformer(shape)
    model.to(device).train()
    rule = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[settings["optimiser"]]
    optimiser = rule(model.parameters(), lr=settings["lr"])
    kept, best, plateau = model.state_dict(), {}, settings["schedule"] == "plateau"
    if plateau:
        best = {name: value.clone() for name, value in kept.items()}
        kept = kept | {f"best.{name}": value for name, value in best.items()}
    first, curve = load_checkpoint(checkpoint, kept, [optimiser])
    tested = stream(held, context, np.arange(len(held)))

    def steps_of(epoch: int) -> list[Int64[np.ndarray, "b c"]]:
        if settings["order"] == "stream":
            return columns(texts, context, size)
        rng = seeds.generator(seed, "language_model", "epoch", epoch)
        rows = stream(texts, context, rng.permutation(len(texts)))
        rows = rows[rng.permutation(len(rows))]
        return np.array_split(rows, math.ceil(len(rows) / size))

    per_epoch = len(steps_of(0))
    steps = per_epoch * settings["epochs"]
    amp = torch.autocast(
        torch.device(device).type, torch.bfloat16, enabled=settings["precision"] == "bf16"
    )
    words, began = 0, time.monotonic()
    with progress("language_model", steps, "steps", done=first) as advance:
        for epoch in range(first // per_epoch, settings["epochs"]):
            parts, losses = steps_of(epoch), []
            lr = settings["lr"]
            if plateau:
                lr = plateau_lr((point["perplexity"] for point in curve), lr)
            for step in range(max(first, epoch * per_epoch), (epoch + 1) * per_epoch):
                batch = torch.from_numpy(parts[step - epoch * per_epoch]).to(device)
                optimiser.param_groups[0]["lr"] = lr if plateau else cosine_lr(step, steps, lr)
                with torch.random.fork_rng(), amp:  # dropout's numbers are the step's own
                    torch.manual_seed(seeds.stream(seed, "language_model", "step", step))
                    loss = next_word_loss(model, batch)
                losses.append(loss.item())
                require_finite(losses[-1:], step, {"language_model.train.lr": settings["lr"]})
                optimiser.zero_grad()
                loss.backward()
                clip_gradients(optimiser, settings["clip_norm"])
                optimiser.step()
                words += batch[:, 1:].numel()
                last = step + 1 == (epoch + 1) * per_epoch
                if last:
                    found = perplexity(model, tested, device)
                    if plateau and all(found < point["perplexity"] for point in curve):
                        for name, value in model.state_dict().items():
                            best[name].copy_(value)
                    curve.append(
                        {"epoch": epoch + 1, "loss": np.mean(losses).item(), "perplexity": found}
                    )
                if last or (step + 1) % STEPS_PER_CHECKPOINT == 0:
                    save_checkpoint(checkpoint, kept, [optimiser], step + 1, curve)
                advance(1, f"perplexity {curve[-1]['perplexity']:.1f}" if curve else "")
    if plateau:
        model.load_state_dict(best)
    return model.eval(), curve, words / max(time.monotonic() - began, 1e-9)


def load_language_model(folder: Path, described: Mapping, device: str) -> Transformer:
    """Return the model that `described` (model.json) and a folder's weights hold, to draw from.

    Raises ValueError that names a parameter which is missing, too many or not finite.
    """
    model, path = Transformer(Shape(**described["shape"])), folder / WEIGHTS
    model.load_state_dict(require_fitting(read_weights(path), model.state_dict(), path))
    return model.to(device).eval()


def require_same_words(described: Mapping, vocabulary: Artifact, where: Path) -> None:
    """Raise ValueError if a language model numbers words otherwise than the classifier."""
    classifier = vocabulary.json("vocabulary.json")
    if described["vocabulary"] != classifier["content"]:
        raise ValueError(
            f"the language model of {where} ({described['shape']['words']} words, "
            f"{described['vocabulary'][:12]}) must have the classifier's vocabulary, which has "
            f"{classifier['size']} words ({classifier['content'][:12]}); train one "
            "(language_model.source: train), or take the corpus and the vocabulary settings it "
            "was trained with"
        )


def _trained(job: Job, draft: Draft) -> tuple[dict[str, Tensor], dict, float]:
    settings, corpus = job.settings, job.inputs["corpus"]
    tokenizer, content = read_tokenizer(job.inputs["vocabulary"])
    shape = Shape(
        words=tokenizer.get_vocab_size(), **{name: settings[name] for name in SHAPE}
    )  # fmt: skip
    split = "validation" if "validation" in corpus else "test"
    model, curve, rate = train(
        numbered(tokenizer, read_split(corpus, "train")),
        numbered(tokenizer, read_split(corpus, split)),
        shape, settings,
        checkpoint=draft.progress / "checkpoint.safetensors", device=pick_device(),
    )  # fmt: skip
    write_curve(curve, draft.folder / "curve.csv")
    return model.state_dict(), {"shape": asdict(shape), "vocabulary": content}, rate


def _at_hand(job: Job) -> tuple[dict[str, Tensor], dict]:
    folder = Path(job.source)
    path = folder / MODEL
    if not path.is_file():
        raise FileNotFoundError(
            f"language_model.path must hold {MODEL}, {WEIGHTS} and {FILE}, and {folder} does not"
        )
    described = json.loads(path.read_text(encoding="utf-8"))
    require_same_words(described, job.inputs["vocabulary"], folder)
    return load_language_model(folder, described, "cpu").state_dict(), described


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    with job.draft() as draft:
        facts = {}
        if job.settings["source"] == "train":
            state, described, rate = _trained(job, draft)
            facts = {"words_per_second": round(rate, 1)}
        else:
            state, described = _at_hand(job)
        write_weights(state, draft.folder / WEIGHTS, job.settings.get("stored"))
        write_json(draft.folder / MODEL, described)
        words = (job.inputs["vocabulary"].folder / FILE).read_bytes()
        (draft.folder / FILE).write_bytes(words)
        draft.finish(facts=facts)
