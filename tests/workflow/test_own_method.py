"""The example of a new method in docs/extending.md, run through the real workflow."""

import csv
import re
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.long
PAGE = Path(__file__).parents[2] / "docs/extending.md"


def example() -> tuple[str, dict]:
    """Return the page's module and its configuration block."""
    text = PAGE.read_text(encoding="utf-8")
    module = re.search(r"```python\n(# logitnorm\.py.*?)```", text, re.DOTALL).group(1)
    block = re.search(r"```yaml\n# my\.yaml\n(methods:.*?)```", text, re.DOTALL).group(1)
    return module, yaml.safe_load(block)


def test_a_method_is_one_module_and_one_block(fresh):
    module, block = example()
    block["only"] = {"rows": ["ce", "bood", "noise", "logitnorm"]}  # on top of smoke.yaml
    assert len(list(filter(None, module.split("\n")))) <= 10
    (fresh.path / "logitnorm.py").write_text(module)
    planned = fresh.planned("metrics", overlay=block)
    assert (planned["detector"], planned["outputs"], planned["scores"]) == (1, 1, 1)
    done = fresh.snakemake("metrics", overlay=block)
    assert done.returncode == 0, done.stderr
    with (fresh.path / "results/metrics.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["method"] == "logitnorm"]
    assert {row["score"] for row in rows} == {"", "msp"}
    (manifest,) = fresh.path.glob("artifacts/scores/logitnorm-*/*/manifest.json")
    given = ("score", "--detector", str(manifest.parent), "pictures")
    assert "Python file of your own; name it" in fresh.bood_plain(*given).stderr
    assert fresh.bood_plain(*given, "--method", "logitnorm.py").returncode == 0
    # an edit of the file is another method
    (fresh.path / "logitnorm.py").write_text(module.replace("F.normalize", "2 * F.normalize"))
    assert fresh.planned("metrics", overlay=block)["detector"] == 1
