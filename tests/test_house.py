"""The rooms of the package stand on floors: no import runs up, and none in a circle."""

import ast
from functools import cache
from pathlib import Path

import pytest

from bood_tasks import PACKAGE
from bood_tasks.catalogue.stages import STAGES
from tests.code_digests import imports_of, modules

FLOORS = {
    "catalogue": 1, "networks": 1,
    "artifacts": 2, "config": 2,
    "jobs": 3, "plan": 3,
    "datasets": 4, "training": 4,
    "generators": 5,
    "synthesis": 6,
    "detectors": 7,
    "scoring": 8,
    "reporting": 9, "deploy": 9,
    "cli": 10,
}  # fmt: skip
WAY_OF_THE_DATA = ("datasets", "generators", "synthesis", "detectors", "scoring", "reporting")
PLANNING = ("config", "plan", "cli")  # no other room knows of settings and specs
MOST_LINES = 400
NO_ROOM_FOR = ("utils", "common", "core", "helpers", "misc")


@cache
def imports() -> dict[str, set[str]]:
    """The package's modules that each of its modules imports, also inside functions."""
    return {
        name: imports_of(ast.parse(path.read_text(encoding="utf-8")), PACKAGE, {}) - {name}
        for name, path in modules(PACKAGE).items()
    }


def defined_in(path: Path) -> set[str]:
    """The names that a module defines or imports at its top, also below an `if`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def test_every_name_that_is_imported_is_there():
    """Also where the import stands in a function, a benchmark or a test that runs elsewhere."""
    root, absent = PACKAGE.parent, []
    for folder in ("bood_tasks", "benchmarks", "tests"):
        for path in (root / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                ours = isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0]
                if ours not in ("bood_tasks", "tests"):
                    continue
                module = root.joinpath(*node.module.split("."))
                file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
                known = defined_in(file) if file.is_file() else set()
                known |= {item.stem for item in module.glob("*")} | {"Method", "load_detector"}
                absent += [
                    f"{path.relative_to(root)}:{node.lineno} {node.module}.{alias.name}"
                    for alias in node.names
                    if alias.name not in known
                ]
    assert not absent


def room(module: str) -> str:
    return module.split(".")[0]


def test_every_room_has_a_floor():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms == set(FLOORS)


def test_no_import_runs_up_or_to_a_neighbour():
    up = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others
        if module != "__init__"
        and room(module) != room(other)
        and FLOORS[room(other)] >= FLOORS[room(module)]
    ]
    assert not up


def test_no_module_imports_itself_by_a_circle():
    above: list[str] = []
    seen: set[str] = set()

    def visit(module: str) -> None:
        assert module not in above, " > ".join([*above[above.index(module) :], module])
        if module in seen:
            return
        seen.add(module)
        above.append(module)
        for other in sorted(imports()[module]):
            visit(other)
        above.pop()

    for module in imports():
        visit(module)


def test_working_rooms_know_nothing_of_settings_and_specs():
    assert not [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others
        if room(other) in ("config", "plan") and room(module) not in PLANNING
    ]


def test_the_six_rooms_name_settings_specs_rules_and_tests():
    rules = {path.stem for path in (PACKAGE.parent / "workflow/rules").glob("*.smk")}
    assert rules == {*WAY_OF_THE_DATA, "common"}
    for name in WAY_OF_THE_DATA:
        for kind in ("config", "plan"):
            assert (PACKAGE / kind / f"{name}.py").is_file(), (kind, name)
        assert (PACKAGE.parent / "tests" / name).is_dir(), name
    assert {stage.room for stage in STAGES.values()} == set(WAY_OF_THE_DATA)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_a_module_holds_one_idea(path: Path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    assert path.stem not in NO_ROOM_FOR
