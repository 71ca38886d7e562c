"""The pages of docs/ that are generated, and what they hold."""

import pytest

from bood_tasks.cli.pages import PAGES, commands, configuration


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_committed_page_is_what_the_generator_writes(path):
    assert path.read_text(encoding="utf-8") == PAGES[path](), (
        "settings or commands changed: python -m bood_tasks.cli.pages"
    )


def test_every_setting_is_a_line_with_its_values_and_default():
    page = configuration()
    assert "| `step_size` | number > 0 | `0.015` | Size of one sign-gradient step" in page
    assert '| `fit` | `pad`, `resize` | `"pad"` |' in page
    assert "| `id` | string | required |" in page
    assert "## `detector.npos`\n" in page
    assert "## `datasets.<name>`, kind tsv\n" in page
    assert "## `ablations`\n" in page


def test_every_command_is_a_section_with_its_arguments():
    page = commands()
    assert "bood gc [--delete] [OVERLAYS ...]\n" in page
    assert "| `--detector DETECTOR` | required |" in page
    assert "| `--device {h200,h100,a100,cpu}` | `h200` |" in page
    assert "None" not in page  # every argument has a help text
