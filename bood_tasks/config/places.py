"""Where a setting stands: the file and the line, for messages. YAML's own reader forgets both."""

import re
from collections.abc import Iterable
from pathlib import Path

import yaml

MERGE = "tag:yaml.org,2002:merge"  # `<<`, which others may overrule


def no_yaml(error: BaseException) -> str:
    """Say why a file is no YAML, with the line if the reader knows it, and in one line."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"is no YAML: {error!r}"
    hint = "; indent with blanks, YAML takes no tabs" if "'\\t'" in str(error) else ""
    began = getattr(error, "context_mark", None)
    within = f" {error.context}" if error.context else ""
    if within and began is not None and began.line != mark.line:
        within += f" that began in line {began.line + 1}"
    return (
        f"is no YAML: line {mark.line + 1}, column {mark.column + 1}: {error.problem}{within}{hint}"
    )


def written_twice(text: str) -> str:
    """Say which key a mapping of a YAML (or JSON) text has twice, and where; "" for none.

    YAML itself, and Snakemake with it, takes the last one without a word.
    """
    reader = yaml.SafeLoader("")
    seen, waiting = set(), [yaml.compose(text, Loader=yaml.SafeLoader)]
    while waiting:
        node = waiting.pop()
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
            continue
        lines: dict[object, int] = {}
        for key, value in node.value:
            waiting.append(value)
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            found, line = reader.construct_object(key), key.start_mark.line + 1
            if found in lines:
                return f"has {key.value} twice, in lines {lines[found]} and {line}"
            lines[found] = line
    return ""


def _lines(node: yaml.Node | None, path: list[str]) -> list[int]:
    """Return the line of each key on a path, as far as the path goes."""
    found: list[int] = []
    for part in path:
        if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            found.append(node.start_mark.line + 1)
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        match = [(key, value) for key, value in pairs if getattr(key, "value", None) == part]
        if not match:
            break
        key, node = match[-1]
        found.append(key.start_mark.line + 1)
    return found


class Places:
    """The places of settings in files, of which the last one counts most."""

    def __init__(self, files: list[Path], given: Iterable[str]):
        self.given, self.trees = set(given), {}
        for file in files:
            try:
                text = file.read_text(encoding="utf-8")
                self.trees[file] = yaml.compose(text, Loader=yaml.SafeLoader)
            except (OSError, ValueError, yaml.YAMLError, RecursionError):
                continue  # said elsewhere, or written over since

    def of(self, message: str) -> str:
        """Return ` (my.yaml, line 3)` for a message that begins with a setting, "" if it stands
        nowhere. Of a setting that is missing it is the line of the section that lacks it."""
        path = re.split(r"[ :,]", message)[0].split(".")
        if path[0] in self.given:
            return " (--config)"
        best: tuple[int, str] = (0, "")
        for file, tree in self.trees.items():
            lines = _lines(tree, path)
            if lines and len(lines) >= best[0]:
                best = len(lines), f" ({file}, line {lines[-1]})"
        return best[1]
