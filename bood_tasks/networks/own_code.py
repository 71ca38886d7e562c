"""A Python file of one's own as a module. Imports the standard library alone."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def _forget_namesakes(folder: Path) -> None:
    """Forget modules that lie in another folder and have the name of a file of this one.

    Else two files of one's own that each import a `blocks` beside them would share the first's.
    """
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        beside = folder / f"{name}.py"
        if origin and "." not in name and beside.is_file() and Path(origin).parent != folder:
            del sys.modules[name]


def load_code(name: str, file: str) -> ModuleType:
    """Return a Python file of one's own as a module, which may import what lies beside it."""
    found = importlib.util.spec_from_file_location(name, file)
    loaded = importlib.util.module_from_spec(found)
    folder = str(Path(file).absolute().parent)
    _forget_namesakes(Path(folder))
    sys.path.insert(0, folder)
    try:
        found.loader.exec_module(loaded)
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)  # for what its functions import later
    return loaded
