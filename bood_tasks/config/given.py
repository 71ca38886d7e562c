"""Whether a classifier of somebody else's fits the ID data, as far as settings tell."""

from bood_tasks.config.detectors import GivenNetwork
from bood_tasks.config.root import Config


def check_network(config: Config, *, texts: bool) -> None:
    """Raise ValueError for a classifier of the other kind of data than the ID set's."""
    network = config.detector.network
    if not isinstance(network, GivenNetwork):
        if (network == "gru") != texts:
            raise ValueError(
                f"detector.network must be gru for texts and only for them, got {network} for "
                f"id = {config.id}"
            )
        return
    if texts and network.source not in ("transformers", "python"):
        raise ValueError(
            f"detector.network must be gru, transformers or python for texts, got {network.named} "
            f"for id = {config.id}"
        )
    if network.source == "python" and texts != (network.mean is None):
        raise ValueError(
            "detector.network.mean and std must be null for texts, got numbers"
            if texts
            else "detector.network.mean and std must be given for a network of a Python file: what "
            "its pictures were scaled by (mean [0, 0, 0], std [1, 1, 1] = pixels in [0, 1])"
        )
    tokenizer = config.vocabulary.tokenizer
    if texts and network.source == "transformers" and tokenizer != network.transformers:
        raise ValueError(
            f"vocabulary.tokenizer must be the folder of {network.named}, whose numbers of words "
            f"it reads, got {tokenizer}; write vocabulary: {{tokenizer: {network.transformers}}}"
        )
