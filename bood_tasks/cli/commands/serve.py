"""Serve a bundle over HTTP: scores, health, metrics, and a page to drop pictures on."""

import argparse
import sys

from bood_tasks.cli.arguments import take_bundle, take_threshold
from bood_tasks.cli.loading import exits_by_two, load_bundle

EXTRA = "serve"
EXAMPLES = ["bood serve --bundle shoes --port 8000"]


def arguments(command: argparse.ArgumentParser) -> None:
    take_bundle(command, required=True)
    take_threshold(command)
    command.add_argument(
        "--host", default="127.0.0.1", help="address; 0.0.0.0 lets other machines ask, unasked who"
    )
    command.add_argument("--port", type=int, default=8000, help="port")
    for option, default, what in (
        ("--max-bytes", 16 * 2**20, "bytes of a request, beyond which it is refused (413)"),
        ("--max-pixels", 50_000_000, "pixels of a picture, beyond which it is not decoded"),
        ("--max-items", 64, "pictures or texts of a request"),
        ("--max-requests", 64, "requests at once, beyond which others are refused (503)"),
    ):
        command.add_argument(option, type=int, default=default, metavar="N", help=f"most {what}")


@exits_by_two
def run(arguments: argparse.Namespace) -> int:
    given = {
        "body": arguments.max_bytes,
        "pixels": arguments.max_pixels,
        "items": arguments.max_items,
        "requests": arguments.max_requests,
    }
    if bad := [name for name, value in given.items() if value < 1]:
        raise ValueError(f"--max-{bad[0].replace('body', 'bytes')} must be at least 1")
    from bood_tasks.deploy.serve import Limits, application, serve

    limits = Limits(**given)
    app = application(
        load_bundle(arguments.bundle),
        limits=limits,
        tpr=arguments.tpr,
        threshold=arguments.threshold,
    )
    print(f"http://{arguments.host}:{arguments.port}/", file=sys.stderr, flush=True)
    serve(app, arguments.host, arguments.port, limits)
    return 0
