"""GOE's figure 1: outliers at several scales of the latents, and texts at several temperatures."""

import numpy as np

from bood_tasks.jobs.job import read_job
from bood_tasks.reporting.figures import style
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.figures.gallery_pictures import pictures_of
from bood_tasks.reporting.figures.mosaics import contact_sheet

VERSION = 1
TEXTS = 12  # shown at each temperature


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    columns, data = job.settings["columns"], job.inputs["dataset"]
    labels = data["train/labels"][:]
    first = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)[:columns]]
    bands = {"ID": data["train/images"].oindex[np.array(first)]}
    for shard in job.inputs["gan_images"]:
        parameters = shard.json("outliers.json")["parameters"]
        symbol = "σ" if parameters["meaning"] == "std" else "σ²"
        rows = np.arange(min(columns, shard["labels"].shape[0]))
        bands[f"{symbol} = {parameters['scale']:g}"] = pictures_of([shard], rows)
    with job.draft() as draft, style.house_style():
        album = Album(draft.folder)
        album.add(
            "goe_figure1",
            contact_sheet(bands, title="Outliers by the scale of the latents", columns=columns),
            "Outliers of a generator outside its training range",
            "First row: ID training pictures of the first classes. Below: one picture of each of "
            "those classes at each scale of the latents, the same latents in every row; 1 is what "
            "the generator was trained with.",
        )
        parts = []
        for shard in job.inputs.get("texts", ()):
            heat = shard.json("outliers.json")["parameters"]["temperature"]
            lines = (shard.folder / "texts.txt").read_text(encoding="utf-8").splitlines()[:TEXTS]
            parts.append(f"**T = {heat:g}**\n\n" + "\n".join(f"- {line}" for line in lines) + "\n")
        if parts:
            (draft.folder / "goe_texts.md").write_text("\n".join(parts), encoding="utf-8")
        draft.finish(rows={"figures": album.finish()})
