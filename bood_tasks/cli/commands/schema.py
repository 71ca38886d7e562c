"""Print the JSON schema of the settings."""

import argparse

EXAMPLES = ["bood schema > config.schema.json"]


def arguments(command: argparse.ArgumentParser) -> None:
    pass  # it takes none


def run(arguments: argparse.Namespace) -> None:
    print(schema())


def schema() -> str:
    """Return the configuration's JSON schema, as workflow/schemas/config.schema.json holds it."""
    import json

    from bood_tasks.config.root import Config

    return json.dumps(Config.model_json_schema(), indent=2)
