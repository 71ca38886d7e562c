"""The classes as figures and captions call them: a generator may have been given another word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOST_TOLD = 12  # of a figure's classes, in a caption


@dataclass(frozen=True)
class ClassNames:
    """Names of the classes and the words that they were drawn by, in order of their labels."""

    classes: Sequence[str]
    words: Sequence[str]

    @classmethod
    def of(cls, names: Mapping[str, list[str]]) -> "ClassNames":
        """Return those of anchors.json."""
        return cls(names["classes"], names["words"])

    @property
    def called(self) -> list[str]:
        """`dahlia, drawn as “bag”` where the word is another one."""
        pairs = zip(self.classes, self.words, strict=True)
        return [name if name == word else f"{name}, drawn as “{word}”" for name, word in pairs]

    def told(self, shown: Sequence[str]) -> str:
        """Return what a caption adds of these classes; nothing where each is its own word."""
        called = dict(zip(self.classes, self.called, strict=True))
        others = [called[name] for name in shown if called[name] != name]
        more = f"; and {len(others) - MOST_TOLD} more" if len(others) > MOST_TOLD else ""
        return f" Mind: {'; '.join(others[:MOST_TOLD])}{more}." if others else ""
