"""Bytes and seconds as people write them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bood_tasks.artifacts.manifest import read_facts, read_manifest


@dataclass
class Cost:
    """One stage: jobs, items, operations, hours on one device, bytes on disk; None: unknown."""

    jobs: int = 0
    items: int | None = 0
    flops: float | None = 0.0
    hours: float | None = 0.0
    disk: float | None = 0.0
    notes: set[str] = field(default_factory=set)

    def add(self, items, flops, hours, disk) -> None:
        self.jobs += 1
        for name, value in (("items", items), ("flops", flops), ("hours", hours), ("disk", disk)):
            known = getattr(self, name)
            setattr(self, name, None if known is None or value is None else known + value)


@dataclass
class Run:
    """When and where artifacts were made, by their jobs' own records."""

    first: float | None = None  # seconds since 1970, the first job's begin
    last: float | None = None  # the last job's end
    hours: float = 0.0  # of all jobs together
    hosts: set[str] = field(default_factory=set)
    devices: set[str] = field(default_factory=set)


def ran(artifacts: Iterable[tuple[str, Path]]) -> Run:
    """Return when and where artifacts, as `measured` takes them, were made."""
    run = Run()
    for _, manifest in artifacts:
        facts = read_facts(manifest)
        if "started" not in facts:
            continue
        begun, took = facts["started"], facts.get("seconds", 0.0)
        run.first = min(begun, run.first or begun)
        run.last = max(begun + took, run.last or 0.0)
        run.hours += took / 3600
        run.hosts |= {facts["host"]} if "host" in facts else set()
        run.devices |= {str(facts["device"])} if "device" in facts else set()
    return run


def measured(artifacts: Iterable[tuple[str, Path]]) -> dict[str, Cost]:
    """Return what each stage's artifacts took, from run.json and the files' sizes.

    `artifacts`: stage and manifest of each; those that are not there are passed over.

    Hours are wall time of the jobs that finished; a resumed job counts its last try alone.
    """
    stages: dict[str, Cost] = {}
    for stage, manifest in artifacts:
        if not manifest.is_file():
            continue
        content = read_manifest(manifest)
        size = sum(item["size"] for item in content["files"].values())
        facts = read_facts(manifest)
        cost = stages.setdefault(stage, Cost())
        seconds = facts.get("seconds")
        items = sum(content["rows"].values()) if content["rows"] else 1
        tflops, rate = facts.get("tflops"), facts.get("images_per_second")
        flops = tflops and rate and tflops * 1e12 * items / max(rate, 1e-9)
        cost.add(items, flops or 0.0, None if seconds is None else seconds / 3600, size)
        cost.notes |= {str(facts["device"])} if "device" in facts else set()
        if facts.get("resumed"):
            cost.notes.add("resumed")
    return stages


def size(count: float) -> str:
    """Return bytes as people write them.

    >>> size(999), size(12_345_678)
    ('999 B', '12.3 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float) -> str:
    """Return seconds as people write them.

    >>> duration(0.04), duration(75), duration(7322)
    ('0.0 s', '1 min 15 s', '2 h 2 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
