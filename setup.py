"""All else stands in pyproject.toml, which cannot name one package more than those it finds.

A wheel holds Snakefile, config.yaml, workflow/ and profiles/ as `bood_tasks/project/`: one copy
in the repository, at its root, where Snakemake and readers look.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["bood_tasks*"]), "bood_tasks.project"],
    package_dir={"bood_tasks.project": "."},
)
