"""The figures that follow from scores alone: histograms and ROC curves, of the first seed.

Whoever has the scores draws them again, without images, networks or PyTorch. Pictures of what
lies on the way there: gallery.py.
"""

from bood_tasks import metrics, plots, plots_paper
from bood_tasks.album import Album, runs_shown
from bood_tasks.registry import row_name, score_name
from bood_tasks.spec import readable
from bood_tasks.stage import Job, read_job, run

VERSION = 4


def _draw_scores(album: Album, job: Job) -> None:
    name, rows = job.settings["id"], job.settings["rows"]
    first = runs_shown(rows)
    for dataset in job.settings["test"]:
        scored = {}
        for place in first:
            label, scores = rows[place], job.inputs["scores"][place]
            title = f"{row_name(label['method'], label['variant'])}, {score_name(label['score'])}"
            scored[title] = tuple(scores[f"{which}/test/score"][:] for which in (name, dataset))
        seed = rows[first[0]]["seed"]
        album.add(
            f"scores_{readable(dataset)}",
            plots.score_histograms(scored, dataset=dataset, id_name=name),
            f"Scores: {name} against {dataset}",
            f"Share of samples per score, seed {seed}. The more of the hatched area lies right of "
            "the dashed line, the larger FPR95.",
            formats=["png", "svg"],
        )
        album.add(
            f"roc_{readable(dataset)}",
            plots.roc_curves(scored, dataset=dataset),
            f"ROC: {name} against {dataset}",
            f"ID positive, seed {seed}. FPR95 is where a curve meets the dotted line.",
            formats=["png", "svg"],
        )


def _draw_pixel_control(album: Album, job: Job) -> None:
    name, rows, facts = (
        job.settings["id"], job.settings["rows"], job.inputs["pixels"].json("pixel_statistics.json")
    )  # fmt: skip
    pixels = {x: (facts[x]["statistic"], facts[x]["auroc"]) for x in job.settings["test"]}
    detectors: dict[str, dict[str, float]] = {}
    for place in _one_score_each(rows):
        label, scores = rows[place], job.inputs["scores"][place]
        detectors[row_name(label["method"], label["variant"])] = {
            dataset: metrics.auroc(
                scores[f"{name}/test/score"][:], scores[f"{dataset}/test/score"][:]
            )
            for dataset in pixels
        }
    album.add(
        "pixel_control",
        plots_paper.pixel_control(pixels, detectors),
        "What pixels alone tell",
        "Bars: the best of four statistics of the pixels, chosen on the test set itself. Marks: "
        f"detectors, seed {rows[0]['seed']}. A mark inside its bar does not beat the pixels.",
        formats=["png", "svg"],
    )


def _one_score_each(rows: list[dict]) -> list[int]:
    """Return the first seed's rows, the last score of each detector alone: a paper's own."""
    last = {(rows[k]["method"], rows[k]["variant"]): k for k in runs_shown(rows)}
    return list(last.values())


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    with job.draft() as draft, plots.house_style():
        album = Album(draft.folder)
        _draw_scores(album, job)
        _draw_pixel_control(album, job)
        draft.finish(rows={"figures": album.finish()})


if __name__ == "__main__":
    run(main)
