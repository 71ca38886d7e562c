"""Keep the artifact tree whole and small: `bood verify`, `bood verify --repair`, `bood gc`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bood_tasks import PROJECT
from bood_tasks.artifacts.locks import lock_path, try_hold
from bood_tasks.artifacts.spec import ROOT, digest_of
from bood_tasks.config.root import Config
from bood_tasks.jobs.environment import COMPILED, prepare
from bood_tasks.plan import plan as planning


def manifests_below(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the manifests in folders, sorted; a path to a manifest yields itself.

    Raises FileNotFoundError for a path that is not there.
    """
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"no such artifact or folder: {path}")
        if path.is_file():
            yield path
            continue
        for folder, children, files in os.walk(path):
            children[:] = [name for name in children if name != COMPILED.name]
            if "manifest.json" in files:
                children.clear()  # an artifact holds no artifacts, but maybe many zarr files
                yield Path(folder, "manifest.json")
            elif ".progress" in children:
                children.clear()
            children.sort()


def damages(manifest: Path) -> list[str]:
    """Re-hash one artifact; return a line per damaged file."""
    from bood_tasks.artifacts.manifest import DamagedArtifact, damaged_files, read_manifest

    try:
        content = read_manifest(manifest)
    except (DamagedArtifact, FileNotFoundError) as error:
        return [str(error)]
    found = damaged_files(manifest.parent, content["files"], rehash=True)
    if digest_of(content["spec"]) != manifest.parent.name:
        found.append(f"is the artifact {digest_of(content['spec'])}, moved or edited")
    return [f"{manifest.parent}: {line}" for line in found]


def verify(paths: Iterable[Path], jobs: int) -> dict[Path, list[str]]:
    """Re-hash the artifacts in `paths`, print each damage; return those of damaged manifests."""
    manifests = list(manifests_below(paths))
    with ThreadPoolExecutor(jobs) as pool:  # hashing lets go of the interpreter lock
        found = dict(zip(manifests, pool.map(damages, manifests), strict=True))
    damaged = {manifest: lines for manifest, lines in found.items() if lines}
    lines = [line for several in damaged.values() for line in several]
    print("\n".join([*lines, f"{len(manifests)} artifacts read, {len(lines)} damages found"]))
    return damaged


def repair(damaged: Iterable[Path], files: list[Path], config: Config, more: list[str]) -> int:
    """Remake damaged artifacts, and them alone; return Snakemake's exit status.

    Their manifests are removed and asked for by name: Snakemake by itself does not remake what is
    missing below finished results. `files` are the --configfiles that `config` was made from.
    Raises ValueError, before anything is removed, for artifacts that the configuration lacks.
    """
    prepare(PROJECT, config.run.model_dump())
    known = {Path(spec.manifest).parent for spec in planning.make(config).specs.values()}
    folders = {path.parent.resolve().relative_to(Path.cwd()) for path in damaged}
    foreign = sorted(map(str, folders - known))
    if foreign:
        raise ValueError(
            f"no artifact of this configuration: {', '.join(foreign)}; name the overlays that made "
            "it by --configfile, or remove it by `bood gc --delete`"
        )
    for folder in folders:
        with try_hold(folder) as free:
            if not free:
                raise ValueError(f"{folder} is being made right now; repair it when that has ended")
            # no draft, no twin: what is damaged must not be taken for a start
            shutil.rmtree(folder)
    own = Path("Snakefile")
    snakefile = own if own.is_file() else PROJECT / "Snakefile"
    overlays = ["--configfile", *map(str, files)] if files else []
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--cores", "all"]
    targets = sorted(str(folder / "manifest.json") for folder in folders)
    return subprocess.run([*command, *more, *overlays, "--", *targets]).returncode


def _size(folder: Path) -> int:
    return sum(item.stat().st_size for item in folder.rglob("*") if item.is_file())


def unreached(configs: Iterable[Config], root: Path = ROOT) -> list[Path]:
    """Return the artifact folders, finished or not, that no configuration's plan contains."""
    kept = {
        Path(spec.manifest).parent
        for config in configs
        for spec in planning.make(config).specs.values()
    }
    found = [folder for folder in sorted(root.glob("[!.]*/*/*")) if folder.is_dir()]
    return [folder for folder in found if folder not in kept]


def gc(configs: Iterable[Config], *, delete: bool) -> list[Path]:
    """Print what no configuration reaches, remove it if `delete`; return those folders.

    What a job is making at the moment stays.
    """
    gone, total = [], 0
    for folder in unreached(configs):
        with try_hold(folder) as free:
            if not free:
                print(f"stays, a job makes it now: {folder}")
                continue
            size = _size(folder)
            print(f"{size / 1e6:10.2f} MB  {folder}")
            total += size
            gone.append(folder)
            if delete:
                shutil.rmtree(folder)
                lock_path(folder).unlink(missing_ok=True)
                if not any(folder.parent.iterdir()):
                    folder.parent.rmdir()
    what = "removed" if delete else "would go; --delete removes them"
    print(f"{len(gone)} artifacts, {total / 1e6:.2f} MB, {what}")
    if COMPILED.is_dir():
        print(f"{_size(COMPILED) / 1e6:10.2f} MB  {COMPILED}: compiled networks; rm -r is safe")
    return gone
