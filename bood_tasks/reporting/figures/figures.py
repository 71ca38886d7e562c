"""Draw the figures that need scores alone: histograms and ROC curves, of the first seed.

They need no images, no networks and no PyTorch. gallery.py draws the steps before the scores.
"""

from bood_tasks.artifacts.spec import readable
from bood_tasks.catalogue.methods import METHODS
from bood_tasks.catalogue.titles import row_name, score_name
from bood_tasks.jobs.job import Job, read_job
from bood_tasks.reporting.figures import distributions, style
from bood_tasks.reporting.figures.album import Album, runs_shown
from bood_tasks.scoring import roc

VERSION = 8
MANY = 3  # scores of one detector from here on have figures of their own


def groups(rows: list[dict]) -> dict[str, list[int]]:
    """Return the indices of the first seed's rows that are shown together, by the files' suffix.

    "": every detector by all of its scores; one that has MANY by its method's own, or the first.
    Its others stand with it in figures of their own, by its name.
    """
    detectors: dict[tuple[str, str], list[int]] = {}
    for index in runs_shown(rows):
        label = rows[index]
        detectors.setdefault((label["method"], label["variant"]), []).append(index)
    found: dict[str, list[int]] = {"": []}
    for (method, variant), indices in detectors.items():
        if len(indices) < MANY:
            found[""] += indices
            continue
        first = METHODS[method].scores[0] if method in METHODS else ""
        found[""].append(next((k for k in indices if rows[k]["score"] == first), indices[0]))
        found[readable(method, variant)] = indices
    return found


def _draw_scores(album: Album, job: Job) -> None:
    name, rows = job.settings["id"], job.settings["rows"]
    seed = rows[0]["seed"]
    for group, indices in groups(rows).items():
        curves: dict[str, dict] = {dataset: {} for dataset in job.settings["test"]}
        for index in indices:
            label, scores = rows[index], job.inputs["scores"][index]
            title = f"{row_name(label['method'], label['variant'])}, {score_name(label['score'])}"
            inside = scores[f"{name}/test/score"][:]
            for dataset, scored in curves.items():
                scored[title] = (inside, scores[f"{dataset}/test/score"][:])
        for dataset, scored in curves.items():
            album.add(
                f"scores_{readable(dataset, group)}",
                distributions.score_histograms(scored, dataset=dataset, id_name=name),
                f"Scores: {name} against {dataset}",
                f"Share of samples per score, seed {seed}, each row in units of its own: 0 accepts "
                "95 % of ID, 1 is the ID median. The more of the hatched area lies right of the "
                "dashed line, the larger FPR95.",
            )
        album.add(
            readable("roc", group),
            distributions.roc_curves(curves),
            f"ROC: {name} against each test set",
            f"ID positive, seed {seed}. FPR95 is where a curve meets the dotted line.",
        )


def _draw_pixel_control(album: Album, job: Job) -> None:
    name, rows = job.settings["id"], job.settings["rows"]
    facts = job.inputs["pixels"].json("pixel_statistics.json")
    pixels = {x: (facts[x]["statistic"], facts[x]["auroc"]) for x in job.settings["test"]}
    detectors: dict[str, dict[str, float]] = {}
    for index in groups(rows)[""]:
        label, scores = rows[index], job.inputs["scores"][index]
        title = row_name(label["method"], label["variant"])
        if title in detectors:  # by its first score
            continue
        inside = scores[f"{name}/test/score"][:]
        detectors[title] = {
            dataset: roc.auroc(inside, scores[f"{dataset}/test/score"][:]) for dataset in pixels
        }
    album.add(
        "pixel_control",
        distributions.pixel_control(pixels, detectors),
        "What pixels alone tell",
        "Bars: the best of five statistics of the pixels, chosen on the test set itself. Marks: "
        f"detectors, seed {rows[0]['seed']}. A mark inside its bar does not beat the pixels.",
    )


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    with job.draft() as draft, style.house_style():
        album = Album(draft.folder)
        _draw_scores(album, job)
        _draw_pixel_control(album, job)
        draft.finish(rows={"figures": album.finish()})
