"""Class names, file names, paths and texts that a shell or a path could take for something else."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from bood_tasks.artifacts.store import Artifact
from tests.workflow.conftest import Workdir

pytestmark = pytest.mark.long

EVIL = [
    "plain", "two words", "quote'd", 'double"quoted"', "$(touch PWNED)", "`touch PWNED`",
    "; touch PWNED #", "&& touch PWNED", "| tee PWNED", "new\nline", "tab\there", "..", "...",
    "-rf", "--out", "*", "?", "~", "{wildcards}", "{output}", "{{x}}", "%s", "\\", "@file", "#",
    "na\u00efve \u2603 \u65e5\u672c", "\u202eright to left", "CON", "a" * 200,
    "<script>alert(1)</script>",
]  # fmt: skip
FOLDERS = [name for name in EVIL if not name.startswith(".") and "/" not in name]


def everything(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


def outside(work: Workdir, before: set[Path]) -> set[Path]:
    """Return what was made in a working folder beside what the workflow may make there."""
    own = {"artifacts", "logs", "results", ".snakemake", "folder.yaml", work.overlay}
    return {path for path in everything(work.path) - before if path.parts[0] not in own}


def require_safe_paths(work: Path) -> None:
    """Every path below artifacts/ and logs/ must be letters, digits and `.+=_-`."""
    for top in ("artifacts", "logs"):
        for path in everything(work / top):
            assert str(path).isascii()
            assert not set(str(path)) & set(" '\"$`;&|\n\t*?~{}\\@#<>()"), path
    assert not list(work.parent.rglob("PWNED*"))


@pytest.mark.parametrize(
    "place", ["it's; touch PWNED #", "-rf $(touch PWNED)", "@\u2603 {output}\n"]
)
def test_a_folder_of_hostile_names_becomes_a_data_set(tmp_path, place):
    work = Workdir(tmp_path / "work")
    rng = np.random.default_rng(0)
    for name in FOLDERS:
        (work.path / place / name).mkdir(parents=True)
        for index in range(12):
            pixels = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
            PIL.Image.fromarray(pixels).save(work.path / place / name / f"{FOLDERS[4]} {index}.png")
    before = everything(work.path)
    overlay = {
        "datasets": {"mine": {"path": place, "validation": 0.3, "test": 0.3}},
        "only": {"rows": ["ce"]},  # no generator knows these words
    }
    (work.path / "pictures").mkdir()
    spec = next(item for item in work.specs("dataset", overlay) if item.name == "mine")
    done = work.snakemake(spec.manifest, overlay=overlay)
    assert done.returncode == 0, done.stdout + done.stderr
    made = Artifact(work.path / spec.manifest)
    assert made.json("dataset.json")["classes"] == sorted(FOLDERS)
    assert outside(work, before) == {Path("pictures")}
    require_safe_paths(work.path)


def test_hostile_settings_stay_text(fresh):
    """A prompt reaches the generator, a row's name the tables, figures and pages; as it is."""
    overlay = {
        "rows": {
            "bood": {"variant": "../../../../PWNED"},
            "ce": {"variant": "$(touch PWNED) '\"` <script>x</script>\n"},
        },
        "images": {"prompt": "$(>PWNED)' {class}", "per_class": 1, "steps": 1},
        "detector": {"epochs": 1},
    }
    before, parent = everything(fresh.path), fresh.path.parent
    beside = set(parent.iterdir())
    done = fresh.snakemake("all", overlay=overlay)
    assert done.returncode == 0, done.stdout + done.stderr
    assert outside(fresh, before) == set()
    assert set(parent.iterdir()) == beside
    require_safe_paths(fresh.path)
    pages = list((fresh.path / "results").rglob("*.html"))
    assert pages
    assert all("<script>x" not in page.read_text() for page in pages)
