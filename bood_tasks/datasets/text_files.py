"""Text files as they are read, by data sets and by detectors in use: UTF-8, lines, words."""

from pathlib import Path

from bood_tasks.catalogue.walk import shown
from bood_tasks.datasets.bounded import read_gzip
from bood_tasks.datasets.foreign import decoding

MARKS = {  # byte-order marks; that of UTF-32 begins with UTF-16's
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def _encoding_of(content: bytes) -> str:
    """Return what bytes that are no UTF-8 most likely are, as `iconv` calls it."""
    for mark, name in MARKS.items():
        if content.startswith(mark):
            return name
    for first, name in ((1, "utf-16le"), (0, "utf-16be")):  # western text: every other byte is 0
        if len(content) > 3 and content[first:2000:2].count(0) > len(content[:2000]) / 4:
            return name
    windows = any(0x80 <= byte < 0xA0 for byte in content)  # quotes and dashes there, else nothing
    return "cp1252" if windows else "latin1"


def read_utf8(path: Path) -> str:
    """Return a text file's content, also of a .gz; a byte-order mark in front is no part of it.

    Raises ValueError that names the byte that is not UTF-8, what the file seems to be, and the
    command that mends it.
    """
    with decoding(path, "a whole text file"):
        content = read_gzip(path) if path.suffix == ".gz" else path.read_bytes()
    return decode_utf8(content, shown(path))


def decode_utf8(content: bytes, name: str) -> str:
    """Return what the bytes of the file `name` say; raises ValueError as read_utf8 does."""
    wide = content.startswith(tuple(MARKS)) or (b"\0" in content[:100])
    try:
        if wide and _encoding_of(content).startswith("utf"):
            raise UnicodeDecodeError("utf-8", content, 0, 1, "it is wide")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} must be UTF-8, and byte {error.start} ({content[error.start]:#04x}) is "
            f"not; save it as UTF-8, as by `iconv -f {_encoding_of(content)} -t utf-8`"
        ) from None


def split_lines(text: str) -> list[str]:
    r"""Return the lines of a file, which \n and \r\n end, and nothing else does: a text may hold
    U+2028, U+0085 or a form feed.

    >>> split_lines("one\u2028still one\r\ntwo\n")
    ['one\u2028still one', 'two']
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def collapsed(text: str, without: frozenset[str] = frozenset()) -> str:
    """Return a text's words, but some, with one space between."""
    return " ".join(word for word in text.split() if word not in without)
