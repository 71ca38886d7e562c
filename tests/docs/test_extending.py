"""The recipes of docs/extending.md as they stand there, applied to a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/extending.md"
COPIED = ("bood_tasks", "workflow", "profiles", "Snakefile", "config.yaml")
BLOCK = re.compile(
    r"```\w+\n# (?P<path>[\w./]+)"
    r"(?: \((?P<new>new)\)|, (?P<side>before|after|instead of): (?P<line>[^\n]+))?\n"
    r"(?P<text>.*?)```",
    re.DOTALL,
)


def recipes() -> dict[str, str]:
    """Return the text of each recipe by its heading."""
    _, *parts = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {part.split("\n")[0]: part for part in parts}


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of the project's code with pictures in data/; what ships with it is linked."""
    for name in COPIED:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, tmp_path)
        else:
            ignored = shutil.ignore_patterns("embedded", "__pycache__")
            shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    (tmp_path / "bood_tasks/embedded").symlink_to(ROOT / "bood_tasks/embedded")
    (tmp_path / "data/photos").mkdir(parents=True)
    picture = PIL.Image.fromarray(np.zeros((28, 28), np.uint8))
    picture.save(tmp_path / "data/photos/black.png")
    return tmp_path


def apply(recipe: str, project: Path) -> list[str]:
    """Write a recipe's blocks into the project; return its overlays."""
    overlays = []
    for block in BLOCK.finditer(recipe):
        path, text = project / block["path"], block["text"].replace("/data/", f"{project}/data/")
        if block["path"] == "my.yaml":
            overlays.append(f"my{len(overlays)}.yaml")
            (project / overlays[-1]).write_text(text)
            continue
        if block["new"]:
            assert not path.exists(), path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            continue
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        (number,) = [n for n, line in enumerate(lines) if line.strip().startswith(block["line"])]
        number += block["side"] == "after"
        lines[number : number + (block["side"] == "instead of")] = [text]
        path.write_text("".join(lines), encoding="utf-8")
    return overlays


def run(project: Path, *command: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(project)}
    done = subprocess.run(
        [sys.executable, *command], cwd=project, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# What a dry run must plan once a recipe is applied.
PLANNED = {
    "A row or an ablation": ["artifacts/distances/alpha0.3-", "results/.published/ablations-"],
    "A post-hoc score": ["artifacts/scores/cross_entropy-seed0-Entropy/"],
    "A post-hoc score in the package": ["artifacts/scores/cross_entropy-seed0-margin/"],
    "A method in the package": ["artifacts/detector/smoothing-seed0/"],
    "An OOD data set": ["artifacts/dataset/photos/", "artifacts/dataset/imagenet_sketch/"],
    "A sampler of outlier features": ["artifacts/ood_features/halfway-seed0/"],
    "An outlier filter": ["artifacts/outlier_filter/"],
    "A table": ["artifacts/ranking/", "results/.published/ranking-"],
    "An ID data set": ["artifacts/dataset/imagenette/", "artifacts/features/imagenette-seed0/"],
}


@pytest.mark.parametrize("name", PLANNED)
def test_a_recipe_plans_what_it_says(name, project):
    overlays = apply(recipes()[name], project) or ["workflow/presets/smoke.yaml"]
    (project / "all.yaml").write_text("only: {rows: null, variants: null, sweeps: null}")
    planned = ""
    for overlay in overlays:
        files = ("--configfile", "workflow/presets/smoke.yaml", "all.yaml", overlay)
        planned += run(project, "-m", "snakemake", "-n", *files)
    assert [path for path in PLANNED[name] if path not in planned] == []


def test_a_score_reads_outputs(project):
    apply(recipes()["A post-hoc score in the package"], project)
    code = (
        "import torch; from bood_tasks.scoring.posthoc.base import Outputs\n"
        "from bood_tasks.scoring.posthoc.table import score_named\n"
        "outputs = Outputs(torch.zeros(2, 3), torch.tensor([[1.0, 5], [2, 0]]))\n"
        "print(score_named('margin').score(outputs, {}).tolist())"
    )
    assert "[4.0, 2.0]" in run(project, "-c", code)


def test_a_metric_has_its_value(project):
    apply(recipes()["A metric"], project)
    code = (
        "import numpy; from bood_tasks.scoring.roc import compare\n"
        "inside, outside = numpy.array([3.0, 2, 0]), numpy.array([1.0, -1, -2])\n"
        "print(compare(inside, outside, threshold='first'))"
    )
    # above 1: one of three ID samples is missed; or above -1: one of three OOD is accepted
    assert re.search(r"'detection_error', '', 0\.1666", run(project, "-c", code))


def test_a_sampler_makes_vectors(project):
    apply(recipes()["A sampler of outlier features"], project)
    code = (
        "import numpy, torch\n"
        "from bood_tasks.synthesis.samplers.interface import TrainingFeatures\n"
        "from bood_tasks.synthesis.ood_features import sampler\n"
        "features = torch.tensor([[1.0, 0], [0, 2]]), numpy.array([0, 1])\n"
        "training = TrainingFeatures(*features, torch.eye(2), ['a', 'b'], None)\n"
        "print(sampler('halfway').sample(training, {'vectors': 1}).vectors.tolist())"
    )
    assert re.search(r"\[\[(0\.7071\d*, 0\.7071\d*)\], \[\1\]\]", run(project, "-c", code))


def test_a_generator_is_asked_for_folders(project):
    """The outline has the members that stages use; it draws nothing."""
    apply(recipes()["A generator"], project)
    code = (
        "from pathlib import Path\n"
        "from bood_tasks.generators.text_to_image import flow, interface\n"
        "Path('model/transformer').mkdir(parents=True)\n"
        "Path('model/transformer/config.json').touch()\n"
        "assert interface.family_of(Path('model')) is flow\n"
        "assert isinstance(interface.load(Path('model')), interface.TextToImage)"
    )
    run(project, "-c", code)


def test_a_table_ranks_rows(project):
    apply(recipes()["A table"], project)
    (project / "metrics.csv").write_text(
        "method,variant,score,split,metric,value\n"
        "ce,,msp,test,auroc,0.5\nce,,energy,test,auroc,0.7\nce,,msp,test,fpr95,0.9\n"
    )
    code = (
        "import pandas; from bood_tasks.reporting.tables.ranking import rank\n"
        "metrics = pandas.read_csv('metrics.csv', keep_default_na=False)\n"
        "print(rank(metrics).score.tolist())"
    )
    assert "['energy', 'msp']" in run(project, "-c", code)


def test_a_figure_is_drawn(project):
    apply(recipes()["A figure"], project)
    code = (
        "from pathlib import Path; from types import SimpleNamespace; import numpy\n"
        "from bood_tasks.reporting.figures import figures\n"
        "scores = {'mine/test/score': numpy.arange(9.0)}\n"
        "job = SimpleNamespace(settings={'id': 'mine'}, inputs={'scores': [scores, scores]})\n"
        "figures._draw_spread(figures.Album(Path()), job)"
    )
    run(project, "-c", code)
    assert (project / "spread.png").stat().st_size > 1000


def test_a_column_is_filled(project):
    apply(recipes()["A column of metrics.csv"], project)
    code = (
        "import numpy; from bood_tasks.scoring.metrics import COLUMNS, _rows\n"
        "assert 'id_median' in COLUMNS\n"
        "scores = {'mine/test/score': numpy.arange(5.0), 'far/test/score': numpy.zeros(3)}\n"
        "settings = {'id': 'mine', 'test': ['far'], 'validation': [], 'control': []}\n"
        "rows = list(_rows(scores, {}, settings | {'threshold': 'first'}))\n"
        "print({row['id_median'] for row in rows}, {*rows[0]} <= {*COLUMNS})"
    )
    assert "{2.0} True" in run(project, "-c", code)


def test_a_setting_in_a_spec_makes_another_artifact(project):
    apply(recipes()["What makes an artifact stale"], project)
    code = (
        "from pathlib import Path; from bood_tasks.config.load import effective_config\n"
        "from bood_tasks.plan.synthesis import anchors\n"
        "files = [Path('config.yaml'), Path('my0.yaml')]\n"
        "before, after = anchors(effective_config(files[:1])), anchors(effective_config(files))\n"
        "print(before.digest != after.digest, before.inputs == after.inputs)"
    )
    assert "True True" in run(project, "-c", code)


def test_a_shard_has_another_layout(project):
    apply(recipes()["A shard's format"], project)
    assert "chunk=10" in (project / "bood_tasks/synthesis/shards.py").read_text()
    run(project, "-c", "import bood_tasks.synthesis.shards")


def test_a_profile_is_taken(project):
    apply(recipes()["A cluster profile"], project)
    run(
        project, "-m", "snakemake", "-n", "--workflow-profile", "profiles/mine", "--configfile",
        "workflow/presets/smoke.yaml",
    )  # fmt: skip


def test_the_table_counts_the_files():
    """Of a method of one's own: its one file, which lies outside the project."""
    table = dict(re.findall(r"^\| \[(.+?)\]\(.*?\) \| (\d+) \|$", PAGE.read_text(), re.MULTILINE))
    found = {}
    for name, recipe in recipes().items():
        listed = name[0].lower() + name[1:]
        if listed in table:
            paths = {block["path"] for block in BLOCK.finditer(recipe)} - {"my.yaml"}
            found[listed] = str(len(paths) or int(name == "A method of your own"))
    assert found == table
