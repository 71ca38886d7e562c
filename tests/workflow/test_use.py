"""The example of a detector in use in docs/deploy.md, as it stands there, on a real run."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/deploy.md"
NAME = "artifacts/scores/energy_regulariser-boundary-adversarial-seed0-energy"


def example(digest: str) -> tuple[list[list[str]], str]:
    """Return the page's commands and its Python lines, a digest for each <digest>."""
    text = PAGE.read_text(encoding="utf-8").replace("<digest>", digest)
    commands = re.findall(r"^\$ bood ([^#\n]+)", text, re.MULTILINE)
    module = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    return [line.split() for line in commands], module


def test_the_pages_lines_work(fresh):
    (manifest,) = fresh.path.glob(f"{NAME}/*/manifest.json")
    commands, module = example(manifest.parent.name)
    assert [line[0] for line in commands] == ["ls", "bundle", "score", "export"]
    (fresh.path / "photos").mkdir()
    for name in ("shirt.png", "cat.png", "photos/other.jpg"):
        PIL.Image.radial_gradient("L").save(fresh.path / name)
    for line in commands:
        done = fresh.bood_plain(*line)
        assert done.returncode == 0, done.stderr
    with (fresh.path / "scores.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["path"] for row in rows] == ["shirt.png", "photos/other.jpg"]
    assert (fresh.path / "model.onnx").stat().st_size > 10_000
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{module}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=fresh.path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(rows[0]["decision"]) == 2  # the same picture twice


def test_what_validation_chooses_is_named_and_taken(fresh):
    told = fresh.bood("best")
    assert told.returncode == 0, told.stderr
    row, score = re.search(r"take it: --row (\S+) --score (\S+)", told.stdout).groups()
    assert "Chosen on validation outliers alone" in told.stdout
    assert "Its regret on the test sets" in told.stdout
    PIL.Image.radial_gradient("L").save(fresh.path / "one.png")
    taken = fresh.bood("score", "one.png", "--best", "--out", "best.csv")
    assert taken.returncode == 0, taken.stderr
    assert f"row {row}: " in taken.stderr
    assert f"-{score}/" in taken.stderr
    both = fresh.bood("score", "one.png", "--best", "--score", score)
    assert "--best chooses the score as well" in both.stderr
