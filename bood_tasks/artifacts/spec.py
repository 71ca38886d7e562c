"""What an artifact is made from: its stage, version, settings and upstream artifacts.

The SHA-256 of that identity is part of the artifact's path, so a changed setting selects
another folder and never overwrites a result.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bood_tasks.catalogue.stages import version_of

ROOT = Path("artifacts")
DIGEST_LENGTH = 16
EXACT = 2**53  # from here on a float is no longer one whole number


def canonical(value: object) -> object:
    """Return `value` with one spelling per meaning: string keys, lists, 2.0 as 2.

    Numbers beyond those that a float tells apart stay floats. Raises ValueError for NaN, infinities
    and two keys of one spelling, TypeError for anything JSON cannot hold.
    """
    if value is None or isinstance(value, str | int):  # bool, too: most values, so first
        return value
    if isinstance(value, Mapping):
        found = {str(key): canonical(item) for key, item in value.items()}
        if len(found) < len(value):
            raise ValueError(f"names must differ when written, got {list(value)}")
        return found
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"a setting must be a finite number, got {value}")
        return int(value) if value.is_integer() and abs(value) < EXACT else value
    raise TypeError(f"a setting must be plain JSON, got {type(value).__name__}: {value!r}")


def to_json(value: object) -> str:
    """Return canonical JSON: sorted keys, no spaces."""
    return _dumped(canonical(value))


def _dumped(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest_of(identity: Mapping) -> str:
    """Return the shortened SHA-256 of an identity's canonical JSON."""
    return _hashed(to_json(identity))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


@dataclass(frozen=True)
class Spec:
    """The identity of one artifact.

    `name` is for readers: a function of the identity, never of the row that asked for it.
    `source` is the outside file or folder a stage reads; its content digest is in `settings`,
    the path itself stays out of the identity.
    """

    stage: str
    name: str
    settings: Mapping
    inputs: Mapping[str, "Spec | tuple[Spec, ...]"] = field(default_factory=dict)
    source: str = ""

    def identity(self) -> dict:
        """Return what the digest covers; also what the manifest records."""
        inputs = {
            role: [item.digest for item in spec] if isinstance(spec, tuple) else spec.digest
            for role, spec in self.inputs.items()
        }
        return {
            "stage": self.stage,
            "version": version_of(self.stage),
            "settings": canonical(self.settings),
            "inputs": inputs,
        }

    @property
    def digest(self) -> str:
        if "_digest" not in self.__dict__:  # every rule asks again; a sweep has thousands
            object.__setattr__(self, "_digest", _hashed(_dumped(self.identity())))  # is canonical
        return self.__dict__["_digest"]

    @property
    def manifest(self) -> str:
        return str(ROOT / self.stage / self.name / self.digest / "manifest.json")

    def upstream(self) -> "list[Spec]":
        """Return the direct inputs in a fixed order."""
        found: list[Spec] = []
        for spec in self.inputs.values():
            found.extend(spec if isinstance(spec, tuple) else (spec,))
        return found


def readable(*parts: object) -> str:
    """Join parts into one safe path component: no separators, no shell characters."""
    text = "-".join(str(part) for part in parts if part not in ("", None))
    return re.sub(r"[^A-Za-z0-9.+=_-]+", "_", text).lstrip(".-")[:80] or "unnamed"


def shard_range(start: int, stop: int) -> str:
    """Return an index range as shards are named: `00000-00099`."""
    return f"{start:05d}-{stop - 1:05d}"
