"""Faults are tried on the finished run of tests/workflow."""

from tests.workflow.conftest import finished, fresh

__all__ = ["finished", "fresh"]
