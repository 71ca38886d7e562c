"""Class anchors: one row of the text encoder's token-embedding table for each class.

No prompt, no positions, no transformer (method: section 1). A class name must be one token, by
its letters at least, or have an alias that is.
"""

from bood_tasks.artifacts.manifest import write_json
from bood_tasks.generators.text_to_image.interface import open_generator
from bood_tasks.jobs.job import read_job
from bood_tasks.networks.pipelines import FOLDER
from bood_tasks.networks.words import class_words, known_words, refusal, unknown_words

VERSION = 1


def main(argv: list[str] | None = None) -> None:
    job = read_job(argv)
    facts = job.inputs["dataset"].json("dataset.json")
    classes = facts["classes"]
    if len(classes) < 2:
        raise ValueError(
            f"datasets.{facts['name']} must have at least two classes to be the ID data set, got "
            f"{len(classes)}: {', '.join(classes)}; give each class a folder of its own"
        )
    known = known_words(job.inputs["generator"].folder / FOLDER)
    words = class_words(classes, job.settings["words"], known)
    if known and (unknown := unknown_words(words, known)):
        raise ValueError(refusal(unknown, known))
    anchors, tokens = open_generator(job.inputs["generator"], "cpu").anchor_table(words)
    with job.draft() as draft:
        draft.save("anchors", anchors)
        names = {"classes": classes, "words": list(words.values()), "token_ids": tokens}
        write_json(draft.folder / "anchors.json", names)
        draft.finish(rows={"anchors": len(anchors)})
