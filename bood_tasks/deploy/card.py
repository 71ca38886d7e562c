"""The model card of a bundle: README.md, with the metadata of the Hugging Face hub in front."""

from collections.abc import Iterable, Sequence

import yaml

from bood_tasks import __version__
from bood_tasks.catalogue.metrics import AVERAGE
from bood_tasks.catalogue.titles import row_name, score_name
from bood_tasks.deploy.detector import Detector
from bood_tasks.deploy.facts import ROLES, Facts, Figure
from bood_tasks.deploy.inputs import PICTURES

TASKS = {"pictures": "image-classification", "texts": "text-classification"}
METRICS = {"auroc": "AUROC", "fpr95": "FPR95"}
CLASSES = 60  # named on the card; config.json has all


def escaped(text: object) -> str:
    """Return a text as a cell of a Markdown table, or a word of a line: no markup, no link.

    >>> escaped("a|b <i>[x](y)")
    'a\\\\|b &lt;i&gt;\\\\[x\\\\](y)'
    """
    found = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "\\`*_[]|":
        found = found.replace(sign, f"\\{sign}")
    return " ".join(found.split())


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a Markdown table's lines."""
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(str(cell) for cell in line)} |" for line in lines]


def code(text: object) -> str:
    """Return a text as code in a line or a table."""
    return f"`{' '.join(str(text).replace('`', chr(39)).replace('|', chr(92) + '|').split())}`"


def percent(value: float, low: float, high: float) -> str:
    """Return a share and its interval in per cent."""
    return f"{value:.2%} ({low:.2%} to {high:.2%})".replace("%", " %")


def number(value: float | None, absent: str) -> str:
    return absent if value is None else f"{value:.6g}"


def name_of(config: dict) -> str:
    """Return the detector's name as people read it."""
    row = row_name(config["method"], config["variant"])
    return f"{row}, {score_name(config['score']['name'])}, on {config['id']}"


def front_matter(config: dict, facts: Facts, kind: str) -> str:
    """Return the hub's metadata: the task, tags, and the figures on each test set."""
    results = [
        {
            "task": {"type": TASKS[kind], "name": "Out-of-distribution detection"},
            "dataset": {"type": item.dataset, "name": f"{config['id']} / {item.dataset}"},
            "metrics": [
                {"type": each.metric, "name": METRICS[each.metric], "value": round(each.value, 5)}
                for each in facts.figures
                if each.dataset == item.dataset and each.role == "test"
            ],
        }
        for item in facts.figures
        if item.role == "test" and item.metric == "auroc" and item.dataset != AVERAGE
    ]
    content = {
        "library_name": "bood-tasks",
        "pipeline_tag": TASKS[kind],
        "tags": ["out-of-distribution-detection", "ood-detection", kind],
        "metrics": ["auroc", "accuracy"],
        "model-index": [{"name": name_of(config), "results": results}],
    }
    if not results:
        del content["model-index"]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def figure_rows(figures: Sequence[Figure]) -> list[tuple]:
    """Return a row for each OOD set, the average behind the test sets: its figures with their
    intervals, and its samples."""
    rows = {}
    for item in sorted(figures, key=lambda item: list(ROLES).index(item.role)):
        shown = percent(item.value, item.low, item.high)
        found = rows.setdefault((item.role, item.dataset), [item.n_id, item.n_ood])
        found.insert(len(found) - 2, shown)
    return [
        (ROLES[role], escaped(dataset), *cells) for (role, dataset), cells in rows.items()
    ]  # fmt: skip


def use(detector: Detector, has_graph: bool) -> list[str]:
    """Return how the bundle is used."""
    one = '"one.png", "two.jpg"' if detector.kind == PICTURES else '"A text.", "Another one."'
    needs = "numpy, onnxruntime and Pillow alone" if has_graph else "torch, for it needs gradients"
    given = "photos/" if detector.kind == PICTURES else "texts/"
    return [
        f"It is run by {needs}:", "",
        "```console", f"$ bood score --bundle . {given}", "```", "",
        "```python", "from bood_tasks import load_detector", "",
        'detector = load_detector(".")', f"verdict = detector([{one}])",
        "print(verdict.scores, verdict.decisions, verdict.classes)", "```", "",
    ]  # fmt: skip


def data_rows(facts: Facts) -> list[tuple]:
    """Return a row for each split of each data set: its samples and their hash."""
    rows = []
    for name, told in sorted(facts.data.items()):
        counts, content = told.get("counts") or {}, told.get("content") or {}
        title = escaped(f"{name}: {told['title']}" if told.get("title") else name)
        for split, count in counts.items():
            rows.append((title, split, f"{count:,}", f"`{content.get(split, '')}`"))
        if not counts:
            rows.append((title, "", "", f"artifact `{told['artifact']}`"))
    return rows


def thresholds_told(detector: Detector, facts: Facts) -> list[str]:
    """Return what is said of thresholds that there are."""
    rows = [
        (
            f"{item['tpr']:.2f}",
            f"{item['threshold']:.6g}",
            f"{number(item['low'], 'unbounded')} to {number(item['high'], 'unbounded')}",
            f"{item['accepts_low']:.2%} to {item['accepts_high']:.2%}".replace("%", " %"),
        )
        for item in facts.thresholds
    ]
    return [
        f"Each is the strictest that accepts at least its share (TPR) of the "
        f"{len(detector.reference):,} samples of {escaped(detector.calibration)}, which neither "
        "training nor a test set has. Intervals hold with 95 %: where the threshold of endlessly "
        "many samples lies (order statistics), and which share of new ID samples this one accepts "
        "(Beta distribution).",
        "",
        *table(("TPR", "threshold", "interval", "accepts of new ID samples"), rows),
        "",
    ]


def card(config: dict, detector: Detector, facts: Facts, has_graph: bool) -> str:
    """Return README.md of a bundle."""
    classes = [escaped(name) for name in detector.classes]
    more = f" and {len(classes) - CLASSES} more" if len(classes) > CLASSES else ""
    score = escaped(score_name(detector.score))
    lines = [
        f"# {escaped(name_of(config))}", "",
        f"Tells whether {detector.kind} are like those of {escaped(config['id'])} "
        "(in-distribution, ID) or not (out-of-distribution, OOD), and to which of its "
        f"{len(classes)} classes they belong. The score is {score}; a larger score is more ID.", "",
        f"Classes: {', '.join(classes[:CLASSES])}{more}.", "",
        "## Warnings", "", *(f"- {escaped(line)}" for line in facts.warnings), "",
        "## Use", "", *use(detector, has_graph),
        "## Thresholds", "",
    ]  # fmt: skip
    if facts.thresholds:
        lines += thresholds_told(detector, facts)
    else:
        lines += ["None: no ID validation samples were held out.", ""]
    lines += ["## Figures", ""]
    if facts.figures:
        lines += [
            "Of this one detector (one seed), with 95 % intervals by the number of samples. FPR95: "
            "the share of OOD samples that is accepted where 95 % of ID are. Validation sets were "
            "there to choose settings by; only test sets tell of data that nothing was chosen on.",
            "", *table(("role", "OOD set", "AUROC", "FPR95", "ID samples", "OOD samples"),
                       figure_rows(facts.figures)), "",
        ]  # fmt: skip
    else:
        lines += ["None: no OOD set was scored.", ""]
    for split, value in facts.accuracy.items():
        lines.append(f"ID accuracy, {split} split: {100 * value:.2f} %.")
    settings = [(code(key), code(value)) for key, value in sorted(facts.training.items())]
    outliers = ", ".join(map(code, facts.outliers)) or "none"
    made = config["artifacts"]
    lines += [
        "", "## Training", "",
        f"On the training split of {escaped(config['id'])}. Outliers shown: {outliers}.", "",
        *table(("setting", "value"), settings), "",
        "## Data", "",
        "SHA-256 over the pixels, or words, and labels of each split, as the workflow read them.",
        "", *table(("data set", "split", "samples", "SHA-256"), data_rows(facts)), "",
        "## Origin", "",
        f"BOOD tasks {__version__}, seed {config['seed']}; detector {code(made['detector'])}, "
        f"scores {code(made['scores'])}.", "",
    ]  # fmt: skip
    return f"---\n{front_matter(config, facts, detector.kind)}---\n\n" + "\n".join(lines)
