"""The pages of docs/ that are generated, and what they hold."""

import re

import pytest

from bood_tasks import PROJECT
from bood_tasks.cli.main import main
from bood_tasks.cli.pages import (
    FASTER,
    ONE_RUN,
    PAGES,
    PAPER_SCALE,
    commands,
    configuration,
    of_papers,
)


@pytest.mark.parametrize(
    "path",
    [pytest.param(x, marks=[pytest.mark.long] if x == PAPER_SCALE else []) for x in PAGES],
    ids=lambda path: path.name,
)
def test_the_committed_page_is_what_the_generator_writes(path):
    assert path.read_text(encoding="utf-8") == PAGES[path](), (
        "settings, commands or presets changed: python -m bood_tasks.cli.pages"
    )


def test_every_setting_is_a_line_with_its_values_and_default():
    page = configuration()
    assert "| `step_size` | `auto` or number > 0 | `0.015` | Size of one sign-gradient step" in page
    assert '| `fit` | `pad`, `resize`, `squash` | `"pad"` |' in page
    assert "| `id` | string | required |" in page
    assert "## `detector.npos`\n" in page
    assert "## `datasets.<name>`, kind tsv\n" in page
    assert "## `ablations`\n" in page


def test_every_command_is_a_section_with_its_arguments():
    page = commands()
    assert "bood gc [--delete] [--now] [--no-jobs] [OVERLAYS ...]\n" in page
    assert "| `--out OUT` | required |" in page
    assert "| `--configfile FILE ...` |" in page
    assert "\nbood ls artifacts/detector\n" in page  # its example
    assert "| `--device {h200,h100,a100,cpu}` | `h200` |" in page
    assert "None" not in page  # every argument has a help text


def rows_of_plans() -> dict[str, list[str]]:
    """The cells of docs/paper-scale.md's table, by preset."""
    lines = PAPER_SCALE.read_text(encoding="utf-8").splitlines()
    lines = lines[lines.index("<!-- plans -->") : lines.index("<!-- /plans -->")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[4:] if line]
    return {row[0].replace("`", "").replace(" ", ""): row[1:] for row in cells}


def test_every_preset_of_a_paper_has_its_plan_in_the_docs():
    papers = of_papers()
    assert len(papers) >= 12
    ones = (ONE_RUN, *(f"{ONE_RUN}+{name}" for name in FASTER))
    assert list(rows_of_plans()) == [*papers, *ones]


@pytest.mark.parametrize("preset", ["dreamood-cifar100", "dreamood-imagenet100"])
def test_the_table_of_plans_has_what_the_command_prints(preset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    overlay = PROJECT / "workflow" / "presets" / f"{preset}.yaml"
    main(["plan", str(PROJECT / "config.yaml"), "--configfile", str(overlay)])
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    (total,) = [words for words in printed if words[:1] == ["sum"]]
    (pictures,) = [words for words in printed if words[:1] == ["images"]]
    jobs, made, flops, hours, disk, unknown = rows_of_plans()[preset]
    assert [jobs, flops, hours, disk] == total[1:5]
    assert made == pictures[2]
    assert unknown == " ".join(total[5:])


@pytest.mark.parametrize("page", [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))])
def test_no_other_sentence_says_what_a_preset_will_cost(page):
    """What is written by hand goes stale when a preset changes."""
    table = re.compile(r"<!-- plans -->.*<!-- /plans -->", re.DOTALL)
    text = table.sub("", page.read_text(encoding="utf-8"))
    assert not re.search(r"EFLOP|hours on (one|an) [HA]\d00", text)
