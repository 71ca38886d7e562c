"""The command line that every stage shares: --in manifests, --out manifest, --spec identity."""

import argparse
import errno
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from bood_tasks.artifacts import disk
from bood_tasks.artifacts.code import code_digest
from bood_tasks.artifacts.locks import already_made, hold
from bood_tasks.artifacts.manifest import MANIFEST_COPY, restore
from bood_tasks.artifacts.outside import READ_OF_FOLDERS, content_digest, lists_digest
from bood_tasks.artifacts.spec import digest_of, shard_range
from bood_tasks.artifacts.store import Artifact, Draft
from bood_tasks.catalogue.stages import STAGES
from bood_tasks.jobs import environment

READ_CODE = (
    "detector",
    "outlier_filter",
    "outlier_statistics",
    "outputs",
    "scores",
)  # whose source is a file of Python
_OPENED: list[Artifact] = []  # this process's inputs and output, for what an error must say
_OUT: list[Path] = []
SHORT_OF_MEMORY = "out_of_memory"  # in .progress: how often this artifact's job ran out of it


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
    then: tuple["Job", ...] = ()  # further shards to make while everything is loaded

    def draft(self) -> Draft:
        """Return the artifact to write; a context manager. What was read is checked at its end."""
        return Draft(self.out, self.identity, self.require_planned)

    def require_planned(self) -> None:
        """Raise ValueError if what lies outside is no longer what the plan has hashed.

        A method of one's own is known by the settings of the detector that it trained, a score
        of one's own by its own.
        """
        judge = self.inputs.get("detector")
        of_method = judge.settings if isinstance(judge, Artifact) else {}
        planned = self.settings.get("content") or of_method.get("content")
        if not (self.source and planned):
            return
        stage, path = self.identity["stage"], Path(self.source)
        of_code = stage in READ_CODE or self.settings.get("kind") == "python"
        if not path.exists():
            raise FileNotFoundError(f"{path} is no longer there, and the plan read it; put it back")
        if lists := self.settings.get("lists"):
            setting = f"datasets.{self.settings['name']}.lists"
            found = lists_digest(path, lists, self.settings["pictures"], setting)
        elif of_code:
            found = code_digest(path)
        else:
            found = content_digest(path, READ_OF_FOLDERS.get(stage))
        if found != planned:
            raise ValueError(
                f"{self.source} has changed since the plan was made: its content is {found}, the "
                f"plan read {planned}; leave it as it is while the workflow runs, and run again"
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bood_tasks.jobs")
    parser.add_argument("--in", dest="inputs", nargs="*", default=[], type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--spec", required=True, type=json.loads, help="the artifact's identity")
    parser.add_argument("--source", default="", help="outside file or folder, if the stage has one")
    parser.add_argument("--then", nargs="*", default=[], help="further shards, START-STOP")
    return parser


def _order(argv: list[str] | None) -> argparse.Namespace:
    """Parse a job's command line, or the file that stands for it."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--arguments"]:
        argv = [*Path(argv[1]).read_text(encoding="utf-8").splitlines(), *argv[2:]]
    return _parser().parse_args(argv)


def stage_in(argv: list[str] | None = None) -> str:
    """Return the stage that a command line orders. Exits with a message if it names none."""
    stage = _order(argv).spec.get("stage")
    if stage not in STAGES:
        _parser().error(f"--spec must name a stage, got {stage!r}; known: {', '.join(STAGES)}")
    return stage


def read_job(argv: list[str] | None = None) -> Job:
    """Parse a stage's command line and open its inputs.

    Each input manifest finds its role by the digest in the spec, so their order is free. Waits for
    another process that makes the same artifact, and ends this one if that has finished it. A job
    that ran out of the GPU's memory before gets its batches outside training halved.
    `--arguments FILE` in front stands for the lines of that file, where a command line is too
    short: the system allows a shell 128 KiB, some 1,200 image shards.
    """
    arguments = _order(argv)
    given = {path.parent.name: path for path in arguments.inputs}

    def opened(digest: str) -> Artifact:
        if digest not in given:
            _parser().error(f"--in lacks the artifact {digest} that --spec names")
        artifact = Artifact(given[digest])
        _OPENED.append(artifact)
        return artifact

    _OPENED.clear()
    out, identity = arguments.out, arguments.spec
    hold(out.parent, given)  # before they are opened: gc leaves alone what a job reads
    inputs = {
        role: [opened(item) for item in digests] if isinstance(digests, list) else opened(digests)
        for role, digests in arguments.spec["inputs"].items()
    }
    if finished(out, identity):
        sys.exit(0)
    environment.halvings = _halvings(out)
    _OUT[:] = [out]
    job = Job(identity["settings"], inputs, out, identity, arguments.source)
    job.require_planned()
    return replace(job, then=tuple(_shard(job, *text.split("-")) for text in arguments.then))


def finished(out: Path, identity: dict) -> bool:
    """Whether another process has finished an artifact; its manifest is put back then."""
    if already_made(out, out.with_name(MANIFEST_COPY)) and restore(out, identity):
        print(f"{out.parent} was finished by another process", file=sys.stderr)
        return True
    return False


def _shard(job: Job, start: str, stop: str) -> Job:
    """Return the order for another index range of the same images."""
    settings = job.settings | {"start": int(start), "stop": int(stop)}
    identity = job.identity | {"settings": settings}
    stem = job.out.parents[1].name.rsplit("-", 2)[0]
    name = f"{stem}-{shard_range(int(start), int(stop))}"
    out = job.out.parents[2] / name / digest_of(identity) / job.out.name
    return replace(job, settings=settings, out=out, identity=identity)


def _halvings(out: Path) -> int:
    """Return how often this artifact's job ran out of memory; a damaged note counts as never."""
    try:
        return max(0, int((out.parent / ".progress" / SHORT_OF_MEMORY).read_text(encoding="ascii")))
    except (OSError, ValueError):
        return 0


def _note_memory(error: BaseException) -> None:
    """Tell the next try that the GPU's memory ran out, so that it halves its batches."""
    cause = error
    while cause is not None and _OUT:
        if environment.out_of_memory(cause):
            note = _OUT[0].parent / ".progress" / SHORT_OF_MEMORY
            note.parent.mkdir(parents=True, exist_ok=True)
            disk.write_text(note, str(environment.halvings + 1))
            return
        cause = cause.__cause__ or cause.__context__


def _end_if_inputs_are_damaged() -> None:
    """An error while reading may mean a damaged input: say which file, and how to mend it."""
    damage = [f"{item.folder}: {line}" for item in _OPENED for line in item.damaged(rehash=True)]
    if damage:
        lines = "\n".join(damage)
        sys.exit(f"error: an input is damaged; run `bood verify --repair`\n{lines}")


def _disk_is_full(error: Exception) -> bool:
    """Also of safetensors, whose errors carry the number in their text alone."""
    codes = (errno.ENOSPC, errno.EDQUOT)
    said = any(f"(os error {code})" in str(error) for code in codes)
    return said or getattr(error, "errno", None) in codes


def run(main) -> None:
    """Run a stage's main; a user's mistake ends with its message, not with a traceback.

    After an error the inputs are hashed: damage there explains it.
    """
    try:
        main()
    except Exception as error:
        _note_memory(error)
        full = _disk_is_full(error)
        if not full and not isinstance(error, FileNotFoundError | PermissionError):
            _end_if_inputs_are_damaged()
        expected = isinstance(error, ValueError | FileNotFoundError | PermissionError) or full
        if os.environ.get("BOOD_TRACEBACK") or not expected:
            raise
        cure = "; free some space and run again: the job goes on after what it has written"
        sys.exit(f"error: {error}{cure if full else ''}")
