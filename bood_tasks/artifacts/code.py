"""The identity of code of one's own: a file, and what it imports beside it.

Found by reading, not by running: `import` statements anywhere in a file whose module lies in the
first file's folder, and what these import in turn. What is imported by a computed name is not seen.
"""

import ast
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from bood_tasks.artifacts.outside import content_digest
from bood_tasks.artifacts.spec import DIGEST_LENGTH

OURS = "bood_tasks"  # in a clone's folder it lies beside the file, and has VERSIONs of its own


def _parsed(file: Path) -> ast.Module:
    """Return a file's syntax; raises ValueError for a file that is no Python."""
    try:
        return ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ValueError(f"{file} must be Python, got {error}") from None


def _imported(file: Path, top: Path) -> Iterator[tuple[str, ...]]:
    """Yield the modules that a file names, as parts of a path below the folder `top`."""
    try:
        tree = _parsed(file)
    except ValueError:
        return  # the import will say so
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(name.name.split(".")) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            folder = file.parents[node.level - 1] if node.level else top
            if folder != top and top not in folder.parents:
                continue
            stem = (*folder.relative_to(top).parts, *(node.module or "").split("."))
            stem = tuple(part for part in stem if part)
            yield from ((*stem, name.name) for name in node.names)


def code_files(file: Path) -> list[Path]:
    """Return a Python file and all files of its folder that it imports, the first one first."""
    top, found, waiting = file.absolute().parent, [file.absolute()], [file.absolute()]
    while waiting:
        for parts in _imported(waiting.pop(), top):
            if parts[:1] == (OURS,) or parts[0] in sys.stdlib_module_names:
                continue
            for depth in range(1, len(parts) + 1):
                stem = top.joinpath(*parts[:depth])
                for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
                    if path.is_file() and path not in found:
                        found.append(path)
                        waiting.append(path)
    return found


def defines(file: Path, name: str) -> bool:
    """Whether a Python file defines or imports a name at its top level; found without running it.

    Raises ValueError for a file that is no Python.
    """
    named: set[str] = set()
    for node in _parsed(file).body:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                named.add(node.name)
            case ast.Import() | ast.ImportFrom():
                named |= {item.asname or item.name for item in node.names}
            case ast.Assign(targets=targets):
                named |= {target.id for target in targets if isinstance(target, ast.Name)}
    return name in named


def says(file: Path) -> str:
    """Return the first line of what a Python file says of itself; "" if it says nothing."""
    try:
        told = ast.get_docstring(_parsed(file))
    except ValueError:
        return ""
    return (told or "").split("\n")[0]


def code_digest(file: Path) -> str:
    """Return the shortened SHA-256 of a Python file, with what it imports beside it.

    A file that imports nothing of its own has the digest of its content.
    """
    first, *others = code_files(file)
    if not others:
        return content_digest(file)
    total = hashlib.sha256(content_digest(first).encode())
    for path in sorted(others):
        name = path.relative_to(first.parent).as_posix()
        total.update(f"{name}\0{content_digest(path)}\n".encode())
    return total.hexdigest()[:DIGEST_LENGTH]
