"""What published data sets and corpora have in common: where one lies, and what to say without it.

Standard library only: configuration and plan read it before any data is at hand.
"""

from collections.abc import Mapping
from pathlib import Path


class Published:
    """A published data set or corpus. Its class says `title`, `layout` (the files it is expected
    in), `published_at`, `downloadable` (whether we can fetch it), `sources` (address and MD5 of
    each file, {} where torchvision has them) and `holds`."""

    title: str
    layout: str
    published_at: str
    downloadable: bool
    sources: Mapping[str, tuple[str, str]]

    def holds(self, folder: Path) -> bool:
        """Whether a folder has the files; they are read later."""
        raise NotImplementedError

    def missing(self, name: str, folder: Path) -> str:
        """Return what to say when the files of the data set `name` are not in its folder."""
        cure = " or set run.download: true," if self.downloadable else ""
        return (
            f"datasets.{name} ({self.title}) must lie in {folder}, which lacks it; expected there: "
            f"{self.layout}; published at {self.published_at}; put it there,{cure} or name its "
            f"folder by datasets.{name}.path or run.data"
        )
