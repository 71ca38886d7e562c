"""A whole run on real data of which one file in a hundred is spoilt: figures and page."""

import csv
import html
import json
import re

import pytest

from tests.datasets.test_damaged_realdata import spoil
from tests.realdata import needs_realdata, real_files
from tests.workflow.conftest import run_presets

pytestmark = [needs_realdata, pytest.mark.long]
MOST = 150  # files of each folder
SETS = {"mine": ("cifar10", ""), "strange": ("ood", "svhn"), "cloth": ("ood", "textures")}
TINY = {
    "id": "mine", "test": ["strange", "cloth"], "only": {"rows": ["ce"]},
    "rows": {"ce": {"method": "ce", "scores": ["msp", "energy", "knn"]}},
    "validation": None, "control": None,
    "detector": {"width": 4, "epochs": 2, "batch_size": 64}, "scoring": {"knn": {"neighbours": 5}},
}  # fmt: skip


def some(archive, below):
    """A folder's first files, of each folder of an archive."""
    taken, found = {}, {}
    for name, content in sorted(real_files(archive).items()):
        folder = name.rpartition("/")[0]
        if name.startswith(below) and taken.setdefault(folder, 0) < MOST:
            taken[folder] += 1
            found[name] = content
    return found


def run(place, pictures):
    """Make table and page from the folders of pictures; return metrics.csv's rows and the page."""
    place.mkdir()
    folder = {"kind": "folder", "max_unreadable": 10_000}
    mine = folder | {"validation": 0.1, "test": 0.2}
    sets = {name: (mine if name == "mine" else folder) | {"path": str(pictures / name)}
            for name in SETS}  # fmt: skip
    overlay = {name: value for name, value in TINY.items() if value is not None}
    done = run_presets(place, ["smoke"], overlay | {"datasets": sets}, "metrics", "report")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    page = (place / "results/report.html").read_text(encoding="utf-8")
    with (place / "results/metrics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file)), page


def test_figures_are_those_of_the_remainder_and_the_page_tells_what_was_left_out(tmp_path):
    told = {}
    for number, (name, (archive, below)) in enumerate(SETS.items()):
        files = some(archive, below)
        (tmp_path / "spoilt").mkdir(exist_ok=True)
        told[name] = spoil(tmp_path / "spoilt" / name, tmp_path / "clean" / name, files, number)
    assert sum(item["unreadable"] for item in told.values()) > 3
    spoilt, page = run(tmp_path / "with", tmp_path / "spoilt")
    clean, clean_page = run(tmp_path / "without", tmp_path / "clean")
    assert spoilt == clean
    assert len(spoilt) > 10
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    for name, item in told.items():
        (path,) = (tmp_path / "with/artifacts/dataset").glob(f"{name}/*/dataset.json")
        facts = json.loads(path.read_text())
        assert facts["read"]["left_out"] == item["left_out"]
        line = [f"{count:,} {reason}" for reason, count in item["left_out"].items()]
        line += [f"{item['unreadable']:,} unreadable"] * bool(item["unreadable"])
        assert "; ".join(line) in text
        assert ", ".join(f"{split} {n:,}" for split, n in facts["counts"].items()) in text
    assert not re.search(r"\d unreadable", clean_page)
