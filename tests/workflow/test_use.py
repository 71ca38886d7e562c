"""The README's own example of a detector in use, as it stands there, on a real run."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
NAME = "artifacts/scores/energy_regulariser-boundary-adversarial-seed0-energy"


def example(digest: str) -> tuple[list[list[str]], str]:
    """Return the section's commands and its Python lines, a digest for each <digest>."""
    text = README.read_text(encoding="utf-8").replace("<digest>", digest)
    section = text.split("### Use the result\n")[1].split("\n### ")[0]
    commands = re.findall(r"^\$ bood ([^#\n]+)", section, re.MULTILINE)
    return [line.split() for line in commands], re.search(
        r"```python\n(.*?)```", section, re.DOTALL
    ).group(1)


def test_the_readmes_lines_work(fresh):
    (manifest,) = fresh.path.glob(f"{NAME}/*/manifest.json")
    commands, module = example(manifest.parent.name)
    assert [line[0] for line in commands] == ["ls", "score", "export"]
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
