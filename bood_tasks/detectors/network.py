"""The files that a classifier of somebody else's is built from, copied: its Python code, the
configuration of a transformers model or an ONNX graph. Weights come by `pretrained`.

Leaves network/ with those files. Detectors keep a copy, so that each is whole by itself.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from bood_tasks.artifacts.code import code_files
from bood_tasks.detectors.model import NETWORK
from bood_tasks.jobs.job import read_job
from bood_tasks.networks.libraries import ONNX

VERSION = 1
OF_TRANSFORMERS = ("config.json", "preprocessor_config.json", "tokenizer.json")


def files_of(kind: str, source: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file that a network is built from and its place in the copy."""
    match kind:
        case "python":
            for path in code_files(source):
                yield path, path.relative_to(source.absolute().parent).as_posix()
        case "transformers":
            for name in OF_TRANSFORMERS:
                if (source / name).is_file():
                    yield source / name, name
        case _:
            yield source, ONNX


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    with job.draft() as draft:
        for path, name in files_of(job.settings["kind"], Path(job.source)):
            place = draft.folder / NETWORK / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        draft.finish()
