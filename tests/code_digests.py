"""Golden digests of the stages' code: an edit must say whether it changes the stage's output.

    python tests/code_digests.py check            name the stages whose code changed
    python tests/code_digests.py raise STAGE...   the output changes: raise VERSION, record
    python tests/code_digests.py accept STAGE...  it does not: record (or `accept --all`)
    python tests/code_digests.py accept new       record new entries of tables: no stage changed

A stage's digest covers the syntax trees of its module and of all package modules that it
imports, without comments, docstrings and layout, and the templates named after them. A module that
imports by name from a folder, `import_module(f"<package>.<folder>.{name}")`, imports all of the
folder but those that have a VERSION of their own.

What one may add to without a change of what is there changes no digest while it is new: an entry of
a table of catalogue/ (a dict with text as its keys), a module of a folder that is imported from by
name. The recorded names of both say what is new; `accept new` records them.
"""

import argparse
import ast
import hashlib
import json
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "bood_tasks"
GOLDEN = Path(__file__).resolve().with_suffix(".json")
VERSION_LINE = re.compile(r"^VERSION = (\d+)$", re.MULTILINE)


def tree_of(node: object) -> object:
    """Return a syntax tree as plain lists, without docstrings and positions.

    `ast.dump` would do, did it not spell the same tree differently in each Python.
    """
    if isinstance(node, list):
        return [tree_of(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = fields["body"][1:]
    kept = {name: value for name, value in fields.items() if value not in (None, [])}
    return [type(node).__name__, [[name, tree_of(value)] for name, value in sorted(kept.items())]]


NEW, NAMES = "new", "names that may be added to"  # the latter is a key of the recorded file
TABLES = "catalogue"  # the folder of the tables
Known = dict[str, list[str]]  # table or folder: its recorded names


def _entries(tree: ast.Module) -> dict[str, ast.Dict]:
    """Return the tables of a module by name: dicts all of whose keys are text."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            keys = node.value.keys
            if all(isinstance(key, ast.Constant) and isinstance(key.value, str) for key in keys):
                found |= {ast.unparse(target): node.value for target in node.targets}
    return found


def _less_new(tree: ast.Module, module: str, known: Known) -> ast.Module:
    """Return a module of catalogue/ without the entries of its tables that are not recorded."""
    for name, table in _entries(tree).items():
        names = known.get(f"{module}.{name}")
        pairs = zip(table.keys, table.values, strict=True)
        kept = [(key, value) for key, value in pairs if names is None or key.value in names]
        table.keys, table.values = [key for key, _ in kept], [value for _, value in kept]
    return tree


def names_now(package: Path) -> Known:
    """Return the names of every table of catalogue/, and of every folder imported from by name."""
    found: Known = {}
    for module, path in modules(package).items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if module.split(".")[0] == TABLES:
            for name, table in _entries(tree).items():
                found[f"{module}.{name}"] = sorted(key.value for key in table.keys)
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                for name in _named_at_run_time(node, package):
                    folder, _, last = name.removeprefix(f"{package.name}.").rpartition(".")
                    found[folder] = sorted({*found.get(folder, []), last})
    return found


def _named_at_run_time(text: ast.JoinedStr, package: Path) -> set[str]:
    """Return the modules that f"package.folder.{name}" may mean, as of `import_module`.

    A module with a VERSION is left out: its number stands in the identity of what it makes.
    """
    first = text.values[0]
    start = first.value if isinstance(first, ast.Constant) else ""
    if not start.startswith(f"{package.name}.") or start.count(".") < 2 or start[-1] != ".":
        return set()
    return {
        start + path.stem
        for path in package.joinpath(*start.split(".")[1:-1]).glob("*.py")
        if not VERSION_LINE.search(path.read_text(encoding="utf-8"))
    }


def imports_of(tree: ast.Module, package: Path, known: Known) -> set[str]:
    """Return the package's own modules that a module imports, wherever in it; of those that it
    imports by name, the recorded ones."""
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = package.name if node.level else ""
            origin = ".".join(filter(None, [parent, node.module]))
            named |= {origin} | {f"{origin}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.JoinedStr):
            for name in _named_at_run_time(node, package):
                folder, _, last = name.removeprefix(f"{package.name}.").rpartition(".")
                named |= {name} if last in known.get(folder, [last]) else set()
    inside = (name.removeprefix(f"{package.name}.") for name in named)
    return {
        name for name in inside if package.joinpath(*name.split(".")).with_suffix(".py").is_file()
    }


def modules(package: Path) -> dict[str, Path]:
    """Return every module's file by its dotted name within the package."""
    files = sorted(package.rglob("*.py"))
    names = (".".join(path.relative_to(package).with_suffix("").parts) for path in files)
    return dict(zip(names, files, strict=True))


def stages(package: Path) -> dict[str, str]:
    """Return each stage's module by its name: a stage is a module that has a VERSION."""
    return {
        name.rpartition(".")[2]: name
        for name, path in modules(package).items()
        if VERSION_LINE.search(path.read_text(encoding="utf-8"))
    }


def _unversioned(tree: ast.Module) -> list[ast.stmt]:
    """Return a module's statements less VERSION's, which other stages' digests must not see."""
    body = tree.body[1:] if ast.get_docstring(tree, clean=False) is not None else tree.body
    return [item for item in body if not VERSION_LINE.match(ast.unparse(item))]


def digests(package: Path, known: Known) -> dict[str, dict]:
    """Return every stage's version and the digest of its code with all that it imports, less what
    is new beside the recorded names."""
    files = modules(package)
    text_of = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
    trees = {name: ast.parse(text) for name, text in text_of.items()}
    for name, tree in trees.items():
        if name.split(".")[0] == TABLES:
            _less_new(tree, name, known)
    own = {name: json.dumps(tree_of(_unversioned(tree))) for name, tree in trees.items()}
    for template in sorted(package.rglob("*.j2")):  # beside the module that fills it, of its name
        folder = template.parent.relative_to(package).parts
        own[".".join([*folder, template.name.split(".")[0]])] += template.read_text(
            encoding="utf-8"
        )
    direct = {name: imports_of(tree, package, known) for name, tree in trees.items()}
    result = {}
    for stage, module in stages(package).items():
        version = int(VERSION_LINE.search(text_of[module]).group(1))
        used, new = {module}, {module}
        while new:
            new = set().union(*(direct[name] for name in new)) - used
            used |= new
        text = json.dumps(sorted(own[name] for name in used))
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        result[stage] = {"version": version, "digest": digest}
    return result


def read(golden: Path) -> tuple[dict[str, dict], Known]:
    """Return the recorded digests and names."""
    found = json.loads(golden.read_text(encoding="utf-8")) if golden.is_file() else {}
    known = found.pop(NAMES, {})
    return found, known


def write(golden: Path, recorded: dict[str, dict], known: Known) -> None:
    """Record digests and names, one stage a line, so that merges meet few conflicts."""
    lines = [f"{json.dumps(stage)}: {json.dumps(recorded[stage])}" for stage in sorted(recorded)]
    if known:
        names = [f"{json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known)]
        lines.append(f"{json.dumps(NAMES)}: {{\n" + ",\n".join(names) + "\n}")
    golden.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def complaints(package: Path, golden: Path) -> list[str]:
    """Return one line per stage whose code or version is not the recorded one."""
    recorded, known = read(golden)
    now, command = digests(package, known), "python tests/code_digests.py"
    lines = [
        f"{where} has new names, {', '.join(new)}, which change no stage: `{command} accept {NEW}`"
        for where, names in names_now(package).items()
        if recorded and (new := sorted(set(names) - {*known.get(where, [])}))
    ]
    for stage in sorted(now.keys() | recorded.keys()):
        old, new = recorded.get(stage), now.get(stage)
        if old == new:
            continue
        if old is None:
            lines.append(f"{stage} is a new stage: `{command} accept {stage}`")
        elif new is None:
            lines.append(f"{stage} is no stage any more: `{command} accept {stage}`")
        elif old["version"] != new["version"]:
            lines.append(
                f"{stage} went from VERSION {old['version']} to {new['version']}: "
                f"`{command} accept {stage}`"
            )
        else:
            lines.append(
                f"{stage} (or a module that it imports) has other code at the same VERSION. "
                f"If its output changes: `{command} raise {stage}`; "
                f"if not: `{command} accept {stage}`"
            )
    return lines


def accept(package: Path, golden: Path, chosen: list[str]) -> None:
    """Record the stages' present code and version."""
    recorded, known = read(golden)
    before, names = digests(package, known), names_now(package)
    now = digests(package, names)
    same = {stage for stage, found in recorded.items() if found == before.get(stage)}
    for stage in same | (set(chosen) - {NEW}):
        if stage in now:
            recorded[stage] = now[stage]
        else:
            del recorded[stage]
    write(golden, recorded, names)


def raise_versions(package: Path, golden: Path, chosen: list[str]) -> None:
    """Write the next VERSION into the stages' modules and record their code."""
    for stage in chosen:
        path = modules(package)[stages(package)[stage]]
        source = path.read_text(encoding="utf-8")
        version = int(VERSION_LINE.search(source).group(1))
        path.write_text(VERSION_LINE.sub(f"VERSION = {version + 1}", source), encoding="utf-8")
    accept(package, golden, chosen)


def main(argv: list[str] | None = None) -> None:
    """Check, raise or accept, as the module's docstring says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("check", "raise", "accept"))
    parser.add_argument("stages", nargs="*", metavar="STAGE")
    parser.add_argument("--all", action="store_true", help="every stage that `check` names")
    arguments = parser.parse_args(argv)
    if arguments.action == "check":
        sys.exit("\n".join(complaints(PACKAGE, GOLDEN)) or 0)
    recorded, names = read(GOLDEN)
    now = digests(PACKAGE, names)
    known = now.keys() | recorded.keys()
    changed = [stage for stage in known if now.get(stage) != recorded.get(stage)]
    chosen = sorted(changed) if arguments.all else arguments.stages
    possible = now.keys() if arguments.action == "raise" else known | {NEW}
    if unknown := [stage for stage in chosen if stage not in possible]:
        parser.error(f"no such stage: {', '.join(unknown)}; known: {', '.join(sorted(possible))}")
    {"raise": raise_versions, "accept": accept}[arguments.action](PACKAGE, GOLDEN, chosen)
    print(f"recorded {', '.join(chosen) or 'nothing'}")


if __name__ == "__main__":
    main()
