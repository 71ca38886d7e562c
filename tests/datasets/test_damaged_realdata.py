"""Real data of which one file in a hundred is damaged, renamed, linked or mixed with junk by a
seeded script: the counts told are the script's own, and what is read is the clean remainder."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bood_tasks.artifacts.spec import Spec, to_json
from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.walk import BROKEN, HIDDEN, ODD, TWICE
from bood_tasks.datasets import dataset
from bood_tasks.datasets.read_folders import LOOSE
from bood_tasks.reporting.report import read_lines
from tests.realdata import needs_realdata, real_files

pytestmark = [needs_realdata, pytest.mark.long, pytest.mark.usefixtures("nobodys_plan")]
SHARE = 0.01
IMAGE = {"size": 32, "fit": "pad", "kernel": "bilinear"}
DAMAGE = ("cut", "zeros", "empty", "text")
RENAMED = ("capitals", "another", "latin1", "backup")
LINKED = ("moved", "twice", "broken")
JUNK = {".DS_Store": HIDDEN, "Thumbs.db": HIDDEN, "._x.webp": HIDDEN, "notes.txt": "txt"}


def spoil(root: Path, clean: Path, files: dict[str, bytes], seed: int) -> dict:
    """Write files twice: spoilt below `root`, and what is left of them below `clean`."""
    rng, elsewhere = np.random.default_rng(seed), root.parent / f"{root.name}-elsewhere"
    elsewhere.mkdir()
    told = {"left_out": Counter(), "unreadable": 0}

    def write(place: Path, content: bytes) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    for number, (name, content) in enumerate(sorted(files.items())):
        place, kept = root / name, clean / name
        if rng.random() >= SHARE:
            write(place, content)
            write(kept, content)
            continue
        match what := str(rng.choice([*DAMAGE, *RENAMED, *LINKED, *JUNK])):
            case "cut" | "zeros" | "empty" | "text":
                half = len(content) // 2
                bad = {"cut": content[:half], "zeros": bytes(len(content)), "empty": b"",
                       "text": b"no picture"}  # fmt: skip
                write(place, bad[what])
                told["unreadable"] += 1
                continue
            case "capitals" | "another" | "latin1":
                ends = {"capitals": ".WEBP", "another": ".jpg", "latin1": "\udce9.webp"}
                place, kept = (x.with_name(x.stem + ends[what]) for x in (place, kept))
                write(place, content)
            case "backup":
                write(place.with_name(f"{place.name}.bak"), content)
                told["left_out"]["of another kind (.bak)"] += 1
                continue
            case "moved":
                write(elsewhere / str(number), content)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(elsewhere / str(number))
            case "twice" | "broken":
                write(place, content)
                target = place if what == "twice" else "nowhere"
                place.with_name(f"link-{number}.webp").symlink_to(target)
                told["left_out"][TWICE if what == "twice" else BROKEN] += 1
            case _:
                write(place, content)
                junk = place.with_name(what if what[0] in ".T" else f"{number}-{what}")
                if not junk.exists():
                    write(junk, content)
                    reason = HIDDEN if JUNK[what] == HIDDEN else "of another kind (.txt)"
                    told["left_out"][reason] += 1
        write(kept, content)
    top = next(iter(files)).split("/")[0]
    (root / top / "back").symlink_to(root)  # a loop
    told["left_out"][TWICE] += 1
    write(root / ".ipynb_checkpoints/x.webp", b"x")
    write(root / "__MACOSX/x.webp", b"x")
    told["left_out"][HIDDEN] += 2
    os.mkfifo(root / top / "pipe.webp")
    told["left_out"][ODD] += 1
    return told | {"left_out": dict(sorted(told["left_out"].items()))}


def materialise(folder: Path, settings: dict) -> Artifact:
    spec = Spec("dataset", settings["name"], settings | {"content": folder.name})
    order = ["--out", spec.manifest, "--spec", to_json(spec.identity()), "--source", str(folder)]
    dataset.main(order)
    return Artifact(spec.manifest)


@pytest.mark.parametrize(
    ("archive", "below", "role"),
    [("cifar10", "", {"validation": 0.1, "test": 0.2}), ("ood", "textures", {"role": "ood"}),
     ("ood", "svhn", {"role": "ood"})],
)  # fmt: skip
def test_counts_are_those_of_the_damage_and_pictures_those_of_the_remainder(
    tmp_path, monkeypatch, archive, below, role
):
    monkeypatch.chdir(tmp_path)
    files = {
        name: content for name, content in real_files(archive).items()
        if name.startswith(below)
    }  # fmt: skip
    told = spoil(tmp_path / "spoilt", tmp_path / "clean", files, seed=len(files))
    if "role" not in role:  # the loop and the pipe lie in a split's folder, beside its classes
        assert sum(told["left_out"].values()) > 50
    settings = {"kind": "folder", "name": "d", "image": IMAGE, "max_unreadable": len(files)} | role
    spoilt = materialise(tmp_path / "spoilt", settings)
    clean = materialise(tmp_path / "clean", settings)
    facts, expected = spoilt.json("dataset.json"), clean.json("dataset.json")
    assert facts["read"]["left_out"] == told["left_out"]
    assert facts["read"]["unreadable"] == told["unreadable"] > 0
    assert facts["counts"] == expected["counts"]
    assert facts["content"] == expected["content"]  # of all pixels and labels
    assert facts["read"]["classes"] == expected["read"]["classes"]
    assert expected["read"]["left_out"] == {}
    assert expected["read"]["unreadable"] == 0
    assert sum(facts["counts"].values()) + told["unreadable"] + told["left_out"].get(
        "of another kind (.bak)", 0
    ) == len(files)
    ((_, read, _, left_out, _),) = read_lines([facts])
    for count, reason in ((n, reason) for reason, n in told["left_out"].items()):
        assert f"{count:,} {reason}" in left_out
    assert f"{told['unreadable']:,} unreadable" in left_out
    for split, count in expected["counts"].items():
        assert f"{split} {count:,}" in read
    assert LOOSE not in left_out
