"""Files of a pinned commit of the Hugging Face hub: the one place of this room that goes online."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

IGNORED = ["*.fp16.*", "*.non_ema.*"]  # safetensors of full precision only


def fetch_files(
    repo: str,
    revision: str,
    folder: Path,
    patterns: Sequence[str],
    *,
    setting: str = "generator",
    keep: Callable[[Path], object] = lambda path: None,
    keeps: Callable[[Path], bool] = lambda path: False,
) -> None:
    """Fetch a commit's files of some names into a folder.

    `keep` hears of each file that is whole, and what `keeps` knows is not fetched again: a killed
    job loses the file that it was fetching. A connection that breaks is resumed where it broke, by
    the hub's library. Raises ValueError that names the commit if it cannot be had.
    """
    os.environ["HF_HUB_OFFLINE"] = "0"  # read when the hub's library is imported: in this job only
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_OFFLINE = False
    try:
        names = huggingface_hub.HfApi().list_repo_files(repo, revision=revision)
        for name in sorted(
            huggingface_hub.utils.filter_repo_objects(
                names, allow_patterns=list(patterns), ignore_patterns=IGNORED
            )
        ):
            if not keeps(folder / name):
                huggingface_hub.hf_hub_download(repo, name, revision=revision, local_dir=folder)
                keep(folder / name)
    except (OSError, ValueError, huggingface_hub.errors.HfHubHTTPError) as error:
        raise ValueError(
            f"{setting}.repo and {setting}.revision must name a commit of the hub that this "
            f"machine can fetch, got {repo} {revision}: {error}; go online, or copy the files "
            f"here and name them by {setting}.path (with source: local for a generator)"
        ) from error
