"""Which extra of the package brings a library, as its metadata say: for what is not installed."""

import importlib.metadata
import re

PACKAGE = "bood-tasks"
EXTRAS = ("score", "serve", "generate", "workflow")  # from the smallest to the largest
DISTRIBUTIONS = {"PIL": "pillow", "multipart": "python-multipart", "sklearn": "scikit-learn",
                 "yaml": "pyyaml"}  # fmt: skip
REQUIREMENT = re.compile(r"([\w.-]+)(?:\[([\w,-]+)\])?.*?(?:extra == ['\"](\w+)['\"])?$")


def brought() -> dict[str, set[str]]:
    """Return the names of what each extra brings, with that of the extras that it includes.

    Empty where the package is not installed, as in a clone.
    """
    try:
        lines = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found: dict[str, set[str]] = {extra: set() for extra in EXTRAS}
    for line in lines:
        name, others, extra = REQUIREMENT.fullmatch(line).groups()
        if extra not in found:
            continue
        if name == PACKAGE:
            for other in others.split(","):
                found[extra] |= found[other]
        else:
            found[extra].add(_plain(name))
    return found


def bounds() -> dict[str, str]:
    """Return the bounds of each library's versions, as `<3,>=2.0`; none where not installed."""
    try:
        lines = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    parts = [line.partition(";")[0].strip() for line in lines]
    found = [re.fullmatch(r"([\w.-]+?)\s*([<>=!~].*)", part) for part in parts]
    return {_plain(match[1]): match[2] for match in found if match}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def cure(error: ModuleNotFoundError, wanted: str = "workflow") -> str:
    """Return what a missing library is brought by: the extra that is wanted, if it has it, else the
    smallest that has. "" for a module of the package itself."""
    module = (error.name or "").split(".")[0]
    if not module or module == "bood_tasks":
        return ""
    name, found = _plain(DISTRIBUTIONS.get(module, module)), brought()
    extra = next((item for item in (wanted, *EXTRAS) if name in found.get(item, ())), wanted)
    return (
        f"{name} is not installed, which the extra `{extra}` brings: "
        f"pip install '{PACKAGE}[{extra}]'"
    )
