"""Say what is wrong with a setting and how to mend it, in one line per problem."""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

TAG = r"\(\w+\)"  # in a location: which kind of a setting's values was meant


def closest(word: str, known: Iterable[str]) -> str:
    """Return a hint: the nearest known name, else all of them."""
    near = difflib.get_close_matches(str(word), sorted(known), n=1)
    names = ", ".join(sorted(known)) or "none"
    return f"; did you mean {near[0]!r}?" if near else f"; known: {names}"


def quoting(got: object) -> str:
    """Return how to write as text what YAML has read as something else."""
    if isinstance(got, bool):
        words = "yes, on and true" if got else "no, off and false"
        return f"; YAML reads {words} so: put the name in quotes"
    return "; put the name in quotes"


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that a field's annotation names, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _known_keys(model: type[BaseModel], location: tuple) -> set[str]:
    """Return the keys allowed where an unknown one was found."""
    for depth, part in enumerate(location):
        field = model.model_fields.get(str(part))
        models = list(_models_in(field.annotation)) if field else []
        if len(models) > 1:  # told apart by `kind`, which pydantic puts into the location
            models = [
                item
                for item in models
                if set(get_args(item.model_fields["kind"].annotation)) & set(location[depth + 1 :])
            ]
        model = models[0] if models else model
    return set(model.model_fields)


def in_section(message: str, model: type[BaseModel], path: str, location: tuple = ()) -> str:
    """Return a message with the path of its section before the setting that it names."""
    setting = re.split(r"[ .:]", message)[0] in _known_keys(model, location)
    return f"{path}{'.' if setting else ' '}{message}" if path else message


def explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return one line per problem: the key, what it must be, what it is, how to mend it.

    `model` is what was validated, `prefix` where it stands in the configuration.
    """
    lines = []
    for item in error.errors():
        location = item["loc"]
        shown = location[:2] + location[3:] if location[:1] == ("datasets",) else location
        shown = [str(part) for part in shown if not re.fullmatch(TAG, str(part))]
        path = ".".join([*([prefix] if prefix else []), *shown])
        got, kind = item["input"], item["type"]
        message = item["msg"].removeprefix("Value error, ")
        message = re.sub("^(Input|String|List|Dictionary|Value) should ", "must ", message)
        if kind == "extra_forbidden":
            hint = closest(str(location[-1]), _known_keys(model, location[:-1]))
            lines.append(f"{path} is no setting{hint}")
        elif kind == "value_error":
            lines.append(in_section(message, model, path, location))
        elif kind == "missing":
            lines.append(f"{path} is missing")
        elif kind == "union_tag_invalid":
            known = re.findall("'([^']*)'", item["ctx"]["expected_tags"])
            tag = item["ctx"]["tag"]
            lines.append(f"{path}.kind must be a known one, got {tag!r}{closest(tag, known)}")
        else:
            line = f"{path} {message}, got {got!r}"
            if isinstance(got, str) and re.fullmatch(r"\d+(\.\d*)?e[+-]?\d+", got):
                number = repr(float(got))
                number = number if "." in number else number.replace("e", ".0e")
                line += f"; YAML reads {got} as text; write {number}"
            elif kind == "list_type" and not isinstance(got, dict | None):
                line += f"; write [{got}]"
            elif kind == "dict_type" and isinstance(got, list):
                line += "; write a mapping, `name: value` for each of them"
            elif kind == "string_type" and not isinstance(got, dict | list | None):
                line += quoting(got)
            elif isinstance(got, str) and kind.endswith("_type"):
                line += (
                    "; a nested --config value arrives as text: "
                    "put it into a file and pass that by --configfile"
                )
            lines.append(line)
    return lines
