"""`bood words`: what may stand in anchors.words."""

from collections.abc import Sequence

from bood_tasks.config.root import Config
from bood_tasks.networks.words import known_words, nearest, whole_words
from bood_tasks.plan.generators import generator
from bood_tasks.plan.pipelines import pipeline_folder


def words(config: Config, like: Sequence[str]) -> None:
    """Print the words of letters alone that the generator knows as one token each.

    `like`: of each of these the nearest alone. Raises ValueError for a generator that is not here
    yet, and for one without a list.
    """
    spec = generator(config)
    folder = pipeline_folder(spec)
    if folder is None or not (known := known_words(folder)):
        raise ValueError(
            "generator must be here to list its words, and "
            f"{config.generator.path if folder else spec.name} is not, or has no vocabulary in "
            "JSON; `bood fetch` fetches one; one that is trained here knows the classes' words"
        )
    candidates = whole_words(known)
    for word in like:
        print(f"{word}: {', '.join(nearest(word, candidates)) or 'none is near it'}")
    if not like:
        print("\n".join(candidates))
