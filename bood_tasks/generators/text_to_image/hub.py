"""Files of a pinned commit of the Hugging Face hub: the one place of this room that goes online."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path


def fetch_files(
    repo: str, revision: str, folder: Path, patterns: Sequence[str], *, setting: str = "generator"
) -> None:
    """Fetch a commit's files of some names into a folder, safetensors of full precision only.

    What a killed job fetched is not fetched again. Raises ValueError that names the commit if it
    cannot be had.
    """
    os.environ["HF_HUB_OFFLINE"] = "0"  # read when the hub's library is imported: in this job only
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_OFFLINE = False
    try:
        huggingface_hub.snapshot_download(
            repo,
            revision=revision,
            local_dir=folder,
            allow_patterns=list(patterns),
            ignore_patterns=["*.fp16.*", "*.non_ema.*"],
        )
    except (OSError, ValueError, huggingface_hub.errors.HfHubHTTPError) as error:
        raise ValueError(
            f"{setting}.repo and {setting}.revision must name a commit of the hub that this "
            f"machine can fetch, got {repo} {revision}: {error}; go online, or copy the files "
            f"here and name them by {setting}.path (with source: local for a generator)"
        ) from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the downloader's own notes
