import base64
import re

import pytest

from bood_tasks import metrics, report, tables
from tests import fake_artifacts
from tests.test_tables import ONE_SEED, SETTINGS, TWO_SEEDS

PICTURES = [
    {"file": "figure1_id_and_ood.png", "title": "All", "caption": "", "data": b"\x89PNG all"},
    {"file": "contact_cat.png", "title": "Cat sheet", "caption": "Cats.", "data": b"\x89PNG cat"},
]
PROVENANCE = [{"stage": "dataset", "name": "cats", "digest": "0123456789abcdef"}]


def page(figures=ONE_SEED, **changes):
    given = {
        "pictures": PICTURES, "warnings": [], "config": {"id": "cats"}, "provenance": PROVENANCE,
    }  # fmt: skip
    return report.render(tables.aggregate(figures), figures, SETTINGS, **given | changes)


def cells(text):
    """Every table row as the list of its cells' texts."""
    rows = re.findall(r"<tr>(<td.*?)</tr>", text, re.DOTALL)
    return [
        [re.sub(r"<[^>]+>", " ", cell).split() for cell in re.findall(r"<td.*?</td>", row)]
        for row in rows
    ]


def test_report_begins_with_the_table():
    text = page()
    assert text.index("<table") < text.index("<img")
    line = next(row for row in cells(text) if row[0] == ["BOOD"])
    assert line[1:] == [["Energy"], ["30.0", "70.0"], ["10.0", "90.0"], ["20.0", "80.0"], ["90.0"]]


def test_report_needs_nothing_but_itself():
    text = page()
    for address in re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", text):
        assert address.startswith("data:")
    assert not re.search(r"https?://|<script|<link|@import|url\(", text)


def test_report_holds_every_picture_and_folds_the_sheets():
    text = page()
    for picture in PICTURES:
        assert base64.b64encode(picture["data"]).decode() in text
    assert "<summary>Cat sheet</summary>" in text
    assert "<summary>All</summary>" not in text


def test_report_escapes_what_the_user_named():
    text = page(
        warnings=["<b>bold</b>"], config={"id": "<script>alert(1)</script>"},
        provenance=[PROVENANCE[0] | {"name": "<i>x</i>"}],
    )  # fmt: skip
    assert "<b>" not in text
    assert "<script>" not in text
    assert "<i>" not in text


def test_report_shows_notes_warnings_and_provenance():
    text = page(warnings=["Many ties."])
    assert "step size α = 0.015" in text
    assert "Many ties." in text
    assert "<code>0123456789abcdef</code>" in text


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (ONE_SEED, "One seed: differences between rows may be chance."),
        (TWO_SEEDS, "Only 2 seeds: the deviations are rough."),
        ([row | {"n_ood": min(row["n_ood"], 50)} for row in ONE_SEED],
         "Few samples, so coarse figures: dogs (50), cars (50)"),
    ],
)  # fmt: skip
def test_report_warns(figures, words):
    assert words in page(figures)


def test_report_stage_reads_its_inputs(tmp_path):
    lines = [",".join(str(row[key]) for key in metrics.COLUMNS) for row in ONE_SEED]
    text = "\n".join([",".join(metrics.COLUMNS), *lines, ""])
    measured = fake_artifacts.make(tmp_path, "metrics", files={"metrics.csv": text})
    made = fake_artifacts.run_stage(
        tmp_path, tables.main, "tables", {"notes": SETTINGS}, {"metrics": measured}
    )
    plotted = fake_artifacts.make(
        tmp_path,
        "figures",
        files={
            "b.png": "curve",
            "captions.json": {
                "figures": [{"file": "b.png", "title": "B", "caption": "d"}], "warnings": []
            },
        },
    )  # fmt: skip
    drawn = fake_artifacts.make(
        tmp_path,
        "gallery",
        files={
            "a.png": "picture",
            "captions.json": {
                "figures": [{"file": "a.png", "title": "A", "caption": "b"}], "warnings": ["c"],
            },
        },
    )  # fmt: skip
    found = fake_artifacts.run_stage(
        tmp_path,
        report.main,
        "report",
        {"config": {"id": "cats"}, "provenance": PROVENANCE},
        {"metrics": measured, "tables": made, "figures": plotted, "gallery": drawn},
    )
    text = (found.folder / "report.html").read_text()
    assert text.index(base64.b64encode(b"picture").decode()) < text.index(
        base64.b64encode(b"curve").decode()
    )
    assert "30.0" in text
