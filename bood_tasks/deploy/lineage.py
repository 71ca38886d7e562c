"""What a trained detector was made from, found from its folder alone: no configuration, no torch.

A scores artifact names its outputs' digest, these their detector's and data sets', and all lie
side by side below one folder: `<stage>/<name>/<digest>`. Of `outputs` only the manifest is read;
of texts also the vocabulary and the corpus' manifest.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bood_tasks.artifacts.manifest import DamagedArtifact, read_manifest
from bood_tasks.artifacts.store import Artifact
from bood_tasks.catalogue.methods import METHODS

TEXTS = "tokens"  # the stage of texts as a classifier reads them


@dataclass(frozen=True)
class Lineage:
    """One score of one detector. `dataset` is the ID data set whose validation it was read from;
    `crop` is what the network sees of its pictures, in pixels, None meaning all."""

    scores: Artifact
    detector: Artifact
    dataset: Artifact
    crop: int | None
    datasets: dict[str, str]  # the digest of every data set that was scored, by its name

    @property
    def root(self) -> Path:
        """The folder below which all artifacts lie."""
        return self.scores.folder.parents[2]

    @property
    def texts(self) -> bool:
        """Whether the detector reads texts."""
        return self.dataset.spec["stage"] == TEXTS

    def upstream(self, role: str) -> Artifact:
        """Return what the ID data set was made from; FileNotFoundError where it is not there."""
        return Artifact(_input(self.root, self.scores, role, self.dataset.spec["inputs"][role]))


def trace(folder: Path | str, score: str | None = None) -> Lineage:
    """Return what a `scores` artifact, or a `detector` artifact with scores, was made from.

    Of a detector's scores, `score` chooses; None means the first that its method's paper reads,
    else the only one. Raises FileNotFoundError or ValueError that names the folder and the cure;
    what will be loaded is hashed.
    """
    folder = Path(folder).resolve()
    if not (folder / "manifest.json").is_file():
        raise FileNotFoundError(
            "a detector must be the folder of a scores or detector artifact "
            f"(artifacts/scores/<name>/<digest>), got {folder}, which holds no manifest.json; "
            "`bood ls artifacts/scores` lists those there are"
        )
    given, root = Artifact(folder / "manifest.json"), folder.parents[2]
    match given.spec["stage"]:
        case "scores":
            scores = given
            if score not in (None, scores.settings["score"]):
                raise ValueError(
                    f"{folder} holds the score {scores.settings['score']}, not {score}; name "
                    f"another scores artifact, or the detector's"
                )
        case "detector" | "pretrained":
            scores = Artifact(_chosen(_scores_of(root, given), given, score))
        case stage:
            raise ValueError(
                f"a detector must be an artifact of scores or detector, got one of {stage}: "
                f"{folder}; `bood ls artifacts/scores` lists those there are"
            )
    outputs = read_manifest(_input(root, scores, "outputs", scores.spec["inputs"]["outputs"]))
    inputs, settings = outputs["spec"]["inputs"], outputs["spec"]["settings"]
    detector = Artifact(_input(root, scores, "detector", inputs["detector"]))
    datasets = dict(zip(settings["datasets"], inputs["datasets"], strict=True))
    found = Lineage(
        scores,
        detector,
        Artifact(_input(root, scores, "dataset", datasets[settings["id"]])),
        settings["crop"],
        datasets,
    )
    read = [found.scores, found.detector]
    read += [found.upstream("vocabulary")] if found.texts else []
    for artifact in read:
        if damage := artifact.damaged(rehash=True):
            raise DamagedArtifact(f"{artifact.folder}: {damage[0]}; run `bood verify --repair`")
    return found


def find(root: Path, digest: str) -> Path | None:
    """Return the manifest of an artifact below a folder; None if it is not there."""
    return next(iter(sorted(root.glob(f"*/*/{digest}/manifest.json"))), None)


def _input(root: Path, scores: Artifact, stage: str, digest: str) -> Path:
    """Return the manifest of what the scores were made from: of `stage`, or one in its place."""
    found = find(root, digest)
    if found is None:
        raise FileNotFoundError(
            f"{scores.folder} was made from the artifact {stage}/*/{digest}, which must lie in "
            f"{root} too; copy it there, or let Snakemake make it"
        )
    return found


def _specs(root: Path, stage: str) -> Iterator[tuple[Path, dict]]:
    for manifest in sorted(root.glob(f"{stage}/*/*/manifest.json")):
        yield manifest, read_manifest(manifest)["spec"]


def _scores_of(root: Path, detector: Artifact) -> dict[str, list[Path]]:
    """Return the manifests of a detector's scores, by the score's name."""
    outputs = {
        manifest.parent.name
        for manifest, spec in _specs(root, "outputs")
        if spec["inputs"]["detector"] == detector.digest
    }
    found: dict[str, list[Path]] = {}
    for manifest, spec in _specs(root, "scores"):
        if spec["inputs"]["outputs"] in outputs:
            found.setdefault(spec["settings"]["score"], []).append(manifest)
    return found


def _chosen(found: dict[str, list[Path]], detector: Artifact, score: str | None) -> Path:
    """Return the one manifest that is meant; raises ValueError where there is none, or several."""
    if score is None:
        module = detector.settings.get("method", "cross_entropy")  # weights as they are
        usual = [entry.scores[0] for entry in METHODS.values() if entry.module == module]
        score = usual[0] if usual and usual[0] in found else None
    if score is None and len(found) == 1:
        (score,) = found
    manifests = found.get(score, [])
    if len(manifests) == 1:
        return manifests[0]
    there = "".join(f"\n  {name}: {m.parent}" for name, paths in found.items() for m in paths)
    if not found:
        raise ValueError(f"{detector.folder} has no scores; let Snakemake make them: `metrics`")
    if manifests:
        raise ValueError(f"{detector.folder} has several of {score}; name one of them:{there}")
    asked = f"no score {score}" if score else "several scores; choose one"
    raise ValueError(f"{detector.folder} has {asked}; there are:{there}")
