"""The command line that every stage shares: --in manifests, --out manifest, --spec identity."""

import argparse
import errno
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bood_tasks.store import Artifact, Draft


@dataclass(frozen=True)
class Job:
    """One stage's work order.

    `inputs` maps each role of the spec to its artifact, or to a list where the role has many.
    `source` is the outside file or folder, or "".
    """

    settings: dict
    inputs: dict[str, Artifact | list[Artifact]]
    out: Path
    identity: dict
    source: str

    def draft(self) -> Draft:
        """Return the artifact to write; a context manager."""
        return Draft(self.out, self.identity)


def read_job(argv: list[str] | None = None) -> Job:
    """Parse a stage's command line and open its inputs.

    Each input manifest finds its role by the digest in the spec, so their order is free.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--in", dest="inputs", nargs="*", default=[], type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--spec", required=True, type=json.loads, help="the artifact's identity")
    parser.add_argument("--source", default="", help="outside file or folder, if the stage has one")
    arguments = parser.parse_args(argv)
    given = {path.parent.name: path for path in arguments.inputs}

    def opened(digest: str) -> Artifact:
        if digest not in given:
            parser.error(f"--in lacks the artifact {digest} that --spec names")
        return Artifact(given[digest])

    inputs = {
        role: [opened(item) for item in digests] if isinstance(digests, list) else opened(digests)
        for role, digests in arguments.spec["inputs"].items()
    }
    return Job(arguments.spec["settings"], inputs, arguments.out, arguments.spec, arguments.source)


def run(main) -> None:
    """Run a stage's main; a user's mistake ends with its message, not with a traceback."""
    try:
        main()
    except (ValueError, OSError) as error:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        expected = isinstance(error, ValueError | FileNotFoundError | PermissionError) or full
        if os.environ.get("BOOD_TRACEBACK") or not expected:
            raise
        cure = "; free some space and run again: the job goes on after what it has written"
        sys.exit(f"error: {error}{cure if full else ''}")
