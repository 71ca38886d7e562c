"""The one place where files of others are decoded: whatever a decoder raises is named.

Decoders of pictures, arrays and archives raise anything at all on a damaged file: RuntimeError,
struct.error, LookupError, MemoryError, SystemError, each library's own kinds.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILES_OWN = (  # errors that speak of the file; others are the machine's (EMFILE, EIO, ESTALE ...)
    None, errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP,
    errno.EINVAL, errno.ENXIO, errno.ENODEV, errno.ENAMETOOLONG,
)  # fmt: skip


class Undecodable(ValueError):
    """A file that its decoder cannot read."""


def reason(error: BaseException) -> str:
    """Return what an error says, its kind in front where that is not plain."""
    text, kind = str(error), type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text if text and isinstance(error, ValueError | OSError) else f"{kind}: {text}"


@contextmanager
def decoding(file: Path, what: str, cure: str = "copy it again") -> Iterator[None]:
    """Raise Undecodable for whatever goes wrong while `file` is decoded, which must be `what`.

    What is the machine's fault, not the file's, passes as it is: a missing file or permission, a
    disk that fails, too many open files.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise Undecodable(f"{file} must be {what}: {reason(error)}; {cure}") from error
    except Exception as error:
        raise Undecodable(f"{file} must be {what}: {reason(error)}; {cure}") from error
