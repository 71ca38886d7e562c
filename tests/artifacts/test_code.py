"""The identity of a method of one's own: the file, and what it imports beside it."""

import json
import os

import pytest

from bood_tasks.artifacts.code import code_digest, code_files
from bood_tasks.artifacts.outside import content_digest
from bood_tasks.artifacts.spec import canonical, digest_of
from bood_tasks.artifacts.store import Artifact
from bood_tasks.jobs.job import read_job
from tests import fake_artifacts


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A method's file and what it imports; nothing imports `unused`."""
    monkeypatch.chdir(tmp_path)
    files = {
        "own.py": "import torch, random\nfrom helper import loss\nimport bood_tasks.x\n",
        "helper.py": "def f():\n    from pkg.sub import g\n",
        "pkg/__init__.py": "from .near import h\n",
        "pkg/sub.py": "from . import deep\nfrom .. import up\n",
        "pkg/near.py": "import own\n",
        "pkg/deep.py": "x = 1\n",
        "up.py": "", "unused.py": "", "random.py": "", "bood_tasks/x.py": "",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "own.py"


def test_all_that_is_imported_beside_a_file_counts_and_nothing_else(own):
    found = {path.relative_to(own.parent).as_posix() for path in code_files(own)}
    imported = {"helper.py", "pkg/__init__.py", "pkg/sub.py", "pkg/near.py", "pkg/deep.py", "up.py"}
    assert found == imported | {"own.py"}
    before = code_digest(own)
    for name in ("helper.py", "pkg/__init__.py", "pkg/deep.py", "own.py"):
        path = own.with_name(name) if "/" not in name else own.parent / name
        text = path.read_text()
        path.write_text(text + "# another\n")
        assert code_digest(own) != before, name
        path.write_text(text)
    for name in ("unused.py", "random.py", "bood_tasks/x.py"):
        (own.parent / name).write_text("y = 2\n")
        assert code_digest(own) == before, name


def test_a_file_by_itself_keeps_its_identity(own):
    own.write_text("import numpy\nMETHOD = None\n")
    assert code_digest(own) == content_digest(own)
    own.write_text("this is no Python (")
    assert code_digest(own) == content_digest(own)


def ordered(root, stage, settings, source, inputs=None):
    identity = fake_artifacts.identity(stage, settings, inputs)
    out = root / "artifacts" / stage / "x" / digest_of(identity) / "manifest.json"
    given = [str(item.manifest) for item in (inputs or {}).values()]
    return out, ["--in", *given, "--out", str(out), "--spec", json.dumps(identity),
                 "--source", str(source)]  # fmt: skip


def test_what_was_planned_is_what_is_read_or_the_job_refuses(own):
    data = own.parent / "data"
    data.mkdir()
    (data / "a.png").write_text("one")
    out, order = ordered(own.parent, "dataset", {"content": content_digest(data)}, data)
    job = read_job(order)
    (data / "a.png").write_text("other")
    os.utime(data / "a.png", (1, 1))
    said = "data has changed since the plan was made"
    with pytest.raises(ValueError, match=said), job.draft() as draft:
        draft.finish()
    assert not out.exists()
    with pytest.raises(ValueError, match=said):
        read_job(order)


def test_a_method_is_checked_with_its_helpers_wherever_it_is_read(own):
    settings = {"content": code_digest(own)}
    out, order = ordered(own.parent, "detector", settings, own)
    with read_job(order).draft() as draft:
        draft.finish()
    _, reads = ordered(own.parent, "outputs", {}, own, {"detector": Artifact(out)})
    read_job(reads)
    own.with_name("helper.py").write_text("def f(): return 0\n")
    with pytest.raises(ValueError, match=r"own\.py has changed"):
        read_job(reads)


def test_numbers_beyond_what_a_float_tells_apart_stay_floats():
    assert canonical({"scale": 1.0e30, "steps": 2.0}) == {"scale": 1.0e30, "steps": 2}
    assert isinstance(canonical(1.0e30), float)
    with pytest.raises(ValueError, match="names must differ"):
        canonical({1: "a", "1": "b"})
