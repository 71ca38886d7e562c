"""Keep the artifact tree whole and small: `bood verify`, `bood verify --repair`, `bood gc`.

What is removed goes to a folder of its own in the store first, `.trash/<time>/`, where it lies as
it lay: one `mv` brings it back.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bood_tasks import PROJECT
from bood_tasks.artifacts.locks import being_read, lock_path, try_hold
from bood_tasks.artifacts.manifest import (
    DamagedArtifact,
    payload_files,
    read_manifest,
    restore,
)
from bood_tasks.artifacts.spec import ROOT, digest_of
from bood_tasks.artifacts.usage import size as as_size
from bood_tasks.config.files import overlays as meant
from bood_tasks.config.root import Config
from bood_tasks.jobs.environment import COMPILED, prepare
from bood_tasks.plan import plan as planning

TRASH = ".trash"


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
            children[:] = sorted(name for name in children if not name.startswith("."))


def damages(manifest: Path) -> list[str]:
    """Re-hash one artifact; return a line per damaged file."""
    from bood_tasks.artifacts.manifest import damaged_files

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


def _discard(folder: Path, root: Path, stamp: str) -> Path:
    """Move an artifact's folder into the store's trash; return where it is now."""
    place = root.joinpath(TRASH, stamp, *folder.parts[-3:])
    place.parent.mkdir(parents=True, exist_ok=True)
    os.rename(folder, place)
    return place


def _stamp() -> str:
    return time.strftime("%Y%m%d-%H%M%S") + f"-{os.getpid()}"


def repair(damaged: Iterable[Path], files: list[Path], config: Config, more: list[str]) -> int:
    """Remake damaged artifacts, and them alone; return Snakemake's exit status.

    A manifest that is damaged beside whole files is put back from its copy. Of all others the
    folder goes to the trash and the manifest is asked for by name: Snakemake by itself does not
    remake what is missing below finished results. What Snakemake then does not make comes back,
    damaged as it was, so that the next `bood verify` finds it again. `files` are the --configfiles
    that `config` was made from. Raises ValueError, before anything is moved, for artifacts that the
    configuration lacks.
    """
    prepare(config.run.model_dump())
    specs = {Path(spec.manifest).parent: spec for spec in planning.make(config).specs.values()}
    known = {folder.absolute(): folder for folder in specs}  # a store may be a link
    given = {Path(os.path.abspath(path.parent)) for path in damaged}
    foreign = sorted(os.path.relpath(folder) for folder in given - set(known))
    if foreign:
        raise ValueError(
            f"no artifact of this configuration: {', '.join(foreign)}; name the overlays that made "
            "it by --configfile, or remove it by `bood gc --delete`"
        )
    moved, stamp = {}, _stamp()
    for folder in sorted(known[path] for path in given):
        with try_hold(folder) as free:
            if free is False:
                raise ValueError(f"{folder} is being made right now; repair it when that has ended")
            if restore(folder / "manifest.json", specs[folder].identity()):
                print(f"{folder}: all files are whole, its manifest is put back from the copy")
                continue
            moved[folder] = _discard(folder, ROOT, stamp)
    if not moved:
        return 0
    own = Path("Snakefile")
    snakefile = own if own.is_file() else PROJECT / "Snakefile"
    overlays = ["--configfile", *map(str, meant(files))] if files else []
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--cores", "all"]
    targets = sorted(str(folder / "manifest.json") for folder in moved)
    status = subprocess.run([*command, *more, *overlays, "--", *targets]).returncode
    for folder, place in moved.items():
        if not folder.exists():  # nobody began it
            folder.parent.mkdir(parents=True, exist_ok=True)
            os.rename(place, folder)
            print(f"{folder} was not made again and is back, damaged as it was", file=sys.stderr)
        elif (folder / "manifest.json").is_file():
            shutil.rmtree(place)
    _remove_empty(ROOT / TRASH)
    return status


def _remove_empty(top: Path) -> None:
    """Remove the empty folders in a folder, and itself if it is then empty."""
    for folder, _, _ in os.walk(top, topdown=False):
        if not os.listdir(folder):
            os.rmdir(folder)


def _size(folder: Path) -> int:
    return sum(item.lstat().st_size for item in folder.rglob("*") if not item.is_dir())


def _folders(top: Path, depth: int) -> Iterator[Path]:
    """Yield the folders so many levels below one, sorted; links and hidden ones are none."""
    for item in sorted(os.scandir(top), key=lambda entry: entry.name):
        if item.is_dir(follow_symlinks=False) and not item.name.startswith("."):
            path = top / item.name
            yield from [path] if depth == 1 else _folders(path, depth - 1)


def unreached(configs: Iterable[Config], root: Path = ROOT) -> list[Path]:
    """Return the folders in an artifact's place that no configuration's plan contains."""
    kept = {
        Path(spec.manifest).parent
        for config in configs
        for spec in planning.make(config).specs.values()
    }
    if not root.is_dir():
        return []
    return [folder for folder in _folders(root, 3) if folder not in kept]


def not_ours(folder: Path) -> str:
    """Return why a folder is not known to be an artifact and nothing else, "" if it is.

    It is if its manifest can be read, is that of this folder, and lists every file in it; an
    unfinished one if its progress says whose it is. A damaged manifest may have a whole copy.
    """
    spec = folder / ".progress" / "spec"
    try:
        if spec.is_file():
            identity, listed = json.loads(spec.read_text(encoding="utf-8")), None
        else:
            content = read_manifest(folder / "manifest.json")
            identity, listed = content["spec"], set(content["files"])
        if digest_of(identity) != folder.name:
            return "its manifest is that of another artifact"
    except (DamagedArtifact, OSError, ValueError, TypeError, AttributeError):
        return "it has no manifest that can be read"
    links = [path for path in folder.rglob("*") if path.is_symlink()]
    if links:
        return f"it holds the link {links[0].relative_to(folder)}"
    if listed is None:
        return ""
    names = {path.relative_to(folder).as_posix() for path in payload_files(folder)}
    more = sorted(names - listed)
    return f"it holds {more[0]}, which its manifest does not list" if more else ""


def _agreed() -> bool:
    """Ask, if there is a person to be asked."""
    return not sys.stdin.isatty() or input("Remove them? [y/N] ").strip().lower() in ("y", "yes")


def gc(
    configs: Iterable[Config], *, delete: bool, now: bool = False, no_jobs: bool = False
) -> list[Path]:
    """Print what no configuration reaches, and what it takes; return those folders.

    With `delete` they go to the store's trash, with `now` for good, and the trash with them. What
    stays is said: what a job makes or reads at the moment, and what is not known to be an artifact.
    Raises ValueError where nobody can tell what jobs use, unless `no_jobs` says that none runs.
    """
    gone, total, read = [], 0, being_read(ROOT)
    unknown = False
    for folder in unreached(configs):
        if reason := not_ours(folder):
            print(f"stays, {reason}: {folder}")
            continue
        if folder.name in read:
            print(f"stays, a job reads it now: {folder}")
            continue
        with try_hold(folder) as free:
            unknown |= free is None
            if free is False:
                print(f"stays, a job makes it now: {folder}")
                continue
            size = _size(folder)
            print(f"{as_size(size):>10}  {folder}")
            total += size
            gone.append(folder)
    trash = ROOT / TRASH
    held = _size(trash) if trash.is_dir() and not trash.is_symlink() else 0
    also = f"; {as_size(held)} more are in {trash}" if held else ""
    what = "" if delete else "; --delete moves them to the trash, --delete --now removes them"
    print(f"{len(gone)} artifacts, {as_size(total)}, are reached by no configuration{also}{what}")
    if COMPILED.is_dir():
        print(f"{as_size(_size(COMPILED)):>10}  {COMPILED}: compiled networks; rm -r is safe")
    if not delete or not (gone or (now and held)):
        return gone
    if unknown and not no_jobs:
        raise ValueError(
            f"{ROOT} has no locks (see `bood doctor`) or cannot be written, so gc cannot tell what "
            "jobs use, and removes nothing; if no job runs, add --no-jobs"
        )
    if not _agreed():
        return []
    stamp = _stamp()
    places = [(folder, _removed(folder, stamp)) for folder in gone]
    if now:
        shutil.rmtree(trash, ignore_errors=True)
        print(f"{len(gone)} artifacts, {as_size(total + held)} with the trash, are removed")
    else:
        print(f"{len(gone)} artifacts are in {trash / stamp}; --now removes them for good")
    return [folder for folder, place in places if place]


def _removed(folder: Path, stamp: str) -> Path | None:
    """Move an artifact to the trash; None if a job took it up meanwhile."""
    with try_hold(folder) as free:
        if free is False:
            print(f"stays, a job makes it now: {folder}")
            return None
        place = _discard(folder, ROOT, stamp)
        if folder.name in being_read(ROOT):
            os.rename(place, folder)
            print(f"stays, a job reads it now: {folder}")
            return None
        lock_path(folder).unlink(missing_ok=True)
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()
    return place
