"""The trained detector behind a row's name, for `bood score --row` and `bood export --row`."""

from pathlib import Path

from bood_tasks.artifacts.spec import Spec
from bood_tasks.config.explain import closest
from bood_tasks.config.root import Config
from bood_tasks.plan.detectors import detector, method_file
from bood_tasks.plan.scoring import scores


def scores_of(config: Config, row: str, seed: int, score: str | None = None) -> Spec:
    """Return the spec of a row's scores of one seed; None: the row's first score.

    Raises ValueError for a row, a seed or a score that the configuration has not.
    """
    if row not in config.rows:
        raise ValueError(f"--row must be one of the rows, got {row!r}{closest(row, config.rows)}")
    if seed not in config.seeds:
        raise ValueError(f"--seed must be one of {', '.join(map(str, config.seeds))}, got {seed}")
    own = config.rows[row].scores
    if score not in (None, *own):
        raise ValueError(f"--score must be one of row {row}, {', '.join(own)}, got {score!r}")
    return scores(config, row, seed, score or own[0])


def find(
    config: Config, row: str, seed: int | None = None, score: str | None = None
) -> tuple[Path, Path | None, Path | None]:
    """Return the folder of a row's finished scores, and the files of its method and of its score if
    they are one's own.

    Without a seed it is the first that is finished: seeds differ by chance alone, and whoever takes
    the one that did best on the test sets reads its figures too well. Raises FileNotFoundError if
    none is finished.
    """
    seeds = config.seeds if seed is None else [seed]
    specs = {number: scores_of(config, row, number, score) for number in seeds}
    for number, spec in specs.items():
        if Path(spec.manifest).is_file():
            method = method_file(detector(config, row, number))
            own = config.scores.get(spec.settings["score"])
            folder = Path(spec.manifest).parent
            return folder, Path(method) if method else None, own and Path(own.module)
    first = Path(next(iter(specs.values())).manifest).parent
    raise FileNotFoundError(
        f"row {row} is not finished in this configuration ({first} is not there); run the workflow "
        "with its --configfile, and name the same files here; results/README.md says which they are"
    )


def served(config: Config) -> dict[str, list[str]]:
    """Return the rows whose scores each artifact goes into, by its digest."""
    found: dict[str, list[str]] = {}
    for row in config.rows:
        waiting = [
            scores(config, row, seed, score)
            for seed in config.seeds
            for score in config.rows[row].scores
        ]
        seen: set[str] = set()
        while waiting:
            spec = waiting.pop()
            if spec.digest not in seen:
                seen.add(spec.digest)
                found.setdefault(spec.digest, []).append(row)
                waiting += spec.upstream()
    return found
