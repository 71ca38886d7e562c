"""The golden digests of the stages, and the tool that keeps them."""

from pathlib import Path

import pytest

from tests import code_digests
from tests.code_digests import GOLDEN, PACKAGE, accept, complaints, digests, raise_versions


def test_stage_code_is_the_recorded_one():
    assert not complaints(PACKAGE, GOLDEN), "\n" + "\n".join(complaints(PACKAGE, GOLDEN))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of two stages; `paint` reaches `colour` through `brush`, `sum` reaches nothing."""
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "colour.py").write_text("RED = 1\n")
    (folder / "brush.py").write_text(
        "def load():\n    from pack.colour import RED\n    return RED\n"
    )
    (folder / "paint.py").write_text(
        '"""Doc."""\nfrom pack import brush\nVERSION = 3\ndef f(x):\n    """Doc."""\n    return x\n'
    )
    (folder / "sum.py").write_text("import os\nVERSION = 1\n")
    return folder


def changed(package: Path, name: str, old: str, new: str) -> set[str]:
    """Edit one module and return the stages whose digest moved."""
    before = digests(package, {})
    path = package / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    after = digests(package, {})
    return {stage for stage in before if before[stage]["digest"] != after[stage]["digest"]}


def test_digest_covers_modules_imported_by_imported_ones(package):
    assert changed(package, "colour.py", "RED = 1", "RED = 2") == {"paint"}


def test_digest_covers_the_modules_that_are_imported_by_name(package):
    """All of the folder but those with a VERSION of their own, which is a part of the identity."""
    (package / "tools").mkdir()
    (package / "tools/file.py").write_text("GRIT = 1\n")
    (package / "tools/saw.py").write_text("TEETH = 1\nVERSION = 1\n")
    (package / "sum.py").write_text(
        "import importlib\nVERSION = 1\n"
        "def f(name):\n    return importlib.import_module(f'pack.tools.{name}')\n"
    )
    assert changed(package, "tools/file.py", "GRIT = 1", "GRIT = 2") == {"sum"}
    assert changed(package, "tools/saw.py", "TEETH = 1", "TEETH = 2") == {"saw"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Doc."""\nfrom', '"""Other words."""\nfrom'),
        ('    """Doc."""\n', ""),
        ("def f(x):", "# why\n\n\ndef f( x ):"),
        ("VERSION = 3", "VERSION = 4"),
    ],
)
def test_digest_leaves_out_words_layout_and_version(package, old, new):
    assert changed(package, "paint.py", old, new) == set()


@pytest.mark.parametrize(("old", "new"), [("return x", "return 2 * x"), ("f(x)", "f(x=1)")])
def test_digest_sees_code(package, old, new):
    assert changed(package, "paint.py", old, new) == {"paint"}


def test_digest_covers_the_template_named_after_a_module(package):
    (package / "sum.html.j2").write_text("<p>")
    assert changed(package, "sum.html.j2", "<p>", "<b>") == {"sum"}


def test_complaint_names_the_command_for_each_case(package, tmp_path):
    golden = tmp_path / "golden.json"
    assert "paint is a new stage: `python tests/code_digests.py accept paint`" in complaints(
        package, golden
    )
    accept(package, golden, ["paint", "sum"])
    assert complaints(package, golden) == []
    changed(package, "paint.py", "return x", "return -x")
    (line,) = complaints(package, golden)
    assert "If its output changes: `python tests/code_digests.py raise paint`" in line
    assert "if not: `python tests/code_digests.py accept paint`" in line
    changed(package, "paint.py", "VERSION = 3", "VERSION = 4")
    (line,) = complaints(package, golden)
    assert "paint went from VERSION 3 to 4: `python tests/code_digests.py accept paint`" in line
    (package / "sum.py").unlink()
    assert any("sum is no stage any more" in line for line in complaints(package, golden))
    accept(package, golden, ["paint", "sum"])
    assert complaints(package, golden) == []


def test_raise_writes_the_next_version_and_records_it(package, tmp_path):
    golden = tmp_path / "golden.json"
    accept(package, golden, ["paint", "sum"])
    changed(package, "paint.py", "return x", "return -x")
    raise_versions(package, golden, ["paint"])
    assert "VERSION = 4\n" in (package / "paint.py").read_text()
    assert complaints(package, golden) == []


def test_unknown_stage_is_refused(capsys):
    with pytest.raises(SystemExit):
        code_digests.main(["accept", "no_such"])
    assert "no such stage: no_such; known: " in capsys.readouterr().err


@pytest.fixture
def tables(package) -> Path:
    """Two stages that read a table; one of them imports tools by name."""
    (package / "catalogue").mkdir()
    (package / "catalogue/tones.py").write_text('TONES = {\n    "c": 1,\n}\n')
    (package / "tools").mkdir()
    (package / "tools/file.py").write_text("GRIT = 1\n")
    (package / "sum.py").write_text(
        "import importlib\nfrom pack.catalogue.tones import TONES\nVERSION = 1\n"
        "def f(name):\n    return importlib.import_module(f'pack.tools.{name}')\n"
    )
    path = package / "paint.py"
    path.write_text(path.read_text() + "from pack.catalogue import tones\n")
    return package


def test_what_is_added_to_a_table_or_a_folder_makes_no_stage_stale(tables, tmp_path):
    golden, table = tmp_path / "golden.json", tables / "catalogue/tones.py"
    accept(tables, golden, ["paint", "sum"])
    table.write_text('TONES = {\n    "c": 1,\n    "d": 2,\n}\n')
    (tables / "tools/saw.py").write_text("TEETH = 1\n")
    first, second = complaints(tables, golden)
    assert first.startswith("catalogue.tones.TONES has new names, d, which change no stage")
    assert second.startswith("tools has new names, saw, which change no stage")
    accept(tables, golden, ["new"])
    assert complaints(tables, golden) == []
    table.write_text('TONES = {\n    "c": 1,\n    "d": 3,\n}\n')  # now that it is known
    assert [line.split()[0] for line in complaints(tables, golden)] == ["paint", "sum"]


def test_a_changed_or_lost_entry_is_seen_beside_a_new_one(tables, tmp_path):
    golden, table = tmp_path / "golden.json", tables / "catalogue/tones.py"
    accept(tables, golden, ["paint", "sum"])
    for text in ('"c": 9, "d": 2', '"d": 2'):
        table.write_text(f"TONES = {{{text}}}\n")
        assert {line.split()[0] for line in complaints(tables, golden)} == {
            "catalogue.tones.TONES", "paint", "sum",
        }  # fmt: skip
    accept(tables, golden, ["new", "sum"])  # which hides no edit from the others
    assert [line.split()[0] for line in complaints(tables, golden)] == ["paint"]
