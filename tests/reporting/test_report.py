import base64
import html
import json
import re
import shutil

import pandas as pd
import pytest

from bood_tasks.artifacts.usage import Cost, Run
from bood_tasks.reporting import report
from bood_tasks.reporting.findings import contenders
from bood_tasks.reporting.line_costs import LineCost
from bood_tasks.reporting.tables import costs
from bood_tasks.reporting.tables.apart import Difference, Differences
from bood_tasks.reporting.tables.frames import csv_text
from bood_tasks.reporting.tables.layout import MINUS
from bood_tasks.reporting.tables.published import compare_with_bood
from bood_tasks.scoring import metrics
from tests import fake_artifacts
from tests.reporting.test_paper_tables import BOOD, DREAMOOD, run_of
from tests.reporting.test_tables import ONE_SEED, SETTINGS, TWO_SEEDS, averaged

PICTURES = [
    {"file": "figure1_id_and_ood.png", "title": "All", "caption": "", "data": b"\x89PNG all"},
    {"file": "contact_cat.png", "title": "Cat sheet", "caption": "Cats.", "data": b"\x89PNG cat"},
]
PROVENANCE = [{"stage": "dataset", "name": "cats", "digest": "0123456789abcdef"}]
STAGES = {
    "images": Cost(4, 1200, 0.0, 0.5, 3_000_000, {"H1"}),
    "copied": Cost(1, None, 0.0, None, 500_000),
}
DOGS = {"n": 50, "statistic": "std", "auroc": 0.6, "in_training": 0, "in_test": 0}
SETS = [  # as each dataset.json has it
    {"name": "cats", "counts": {"train": 90, "test": 1030},
     "read": {"left_out": {"hidden files and those of tools": 4}, "unreadable": 2,
              "converted": {"turned upright by EXIF": 7}, "published": {},
              "classes": {"train": {"tabby": 40, "lion": 50}, "test": {"a": 515, "b": 515}}}},
    {"name": "dogs", "counts": {"test": 50},
     "read": {"left_out": {}, "unreadable": 0, "converted": {}, "published": {"test": 5640},
              "classes": {"test": {".": 50}}}},
]  # fmt: skip
CONFIG = {"id": "cats"}
OF_BOOD = {"method": "bood", "variant": "", "score": "energy", "split": "test"}
INTERVALS = [
    OF_BOOD | {"ood_dataset": "dogs", "metric": "auroc", "convention": "", "low": 0.5, "high": 0.87}
]
DIFFERENT = [  # BOOD is best everywhere, and told from CE on dogs alone
    OF_BOOD | {
        "than_method": "ce", "than_variant": "", "than_score": "energy", "ood_dataset": dataset,
        "metric": "auroc", "convention": "", "difference": 0.1, "low": low, "high": 0.19,
        "apart": int(low > 0),
    }
    for dataset, low in (("dogs", 0.01), ("cars", -0.01), ("average", -0.01))
]  # fmt: skip
LINES = contenders(pd.DataFrame(ONE_SEED))
COSTS = [
    LineCost(LINES[0], 0.5, 0.3, Difference(0.1, 0.01, 0.19), frozenset({"H1"})),
    LineCost(LINES[1], 0.2, 0.0, None, frozenset({"H1"})),
]
PIXELS = {"cats": {"in_training": 0}, "dogs": DOGS}


def page(results=ONE_SEED, **changes):
    given = {
        "pixels": PIXELS, "papers": [], "stages": STAGES, "pictures": PICTURES,
        "intervals": pd.DataFrame(INTERVALS),
        "config": {"id": "cats"}, "provenance": PROVENANCE, "run": Run(), "outliers": {},
        "read": report.read_lines(SETS),
    }  # fmt: skip
    return report.render(averaged(results), pd.DataFrame(results), SETTINGS, **given | changes)


def cells(text):
    """Every table row as the list of its cells' texts, without what stands in small type."""
    rows = re.findall(r"<tr>(<th scope=\"row\".*?)</tr>", text, re.DOTALL)
    return [
        [
            re.sub(r"<small>.*?</small>|<[^>]+>", " ", cell).split()
            for cell in re.findall(r"<t[hd][ >].*?</t[hd]>", row, re.DOTALL)
        ]
        for row in rows
    ]


def test_report_begins_with_the_table():
    text = page()
    assert text.index("<table") < text.index("<img")
    line = next(row for row in cells(text) if row[0] == ["BOOD", "Energy"])
    assert line[1:] == [["20.0", "80.0"], ["30.0", "70.0"], ["10.0", "90.0"], ["90.0"]]


def test_report_tells_what_was_read_and_what_was_left_out():
    text = page()
    lines = [[" ".join(cell) for cell in row] for row in cells(text)]
    assert [
        "cats", "train 90, test 1,030", "train: 2 of 40 to 50; test: 2 of 515",
        "4 hidden files and those of tools; 2 unreadable", "7 turned upright by EXIF",
    ] in lines  # fmt: skip
    assert ["dogs", "test 50", "", "of 5,640 published (test)", ""] in lines


def test_report_needs_nothing_but_itself():
    text = page()
    for address in re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", text):
        assert address.startswith(("data:", "#"))
    assert not re.search(r"https?://|<script|<link|@import|url\(", text)


def test_report_holds_every_picture_and_folds_the_sheets():
    text = page()
    for picture in PICTURES:
        assert base64.b64encode(picture["data"]).decode() in text
    assert "<summary>Cat sheet</summary>" in text
    assert "<summary>All</summary>" not in text


def test_report_escapes_what_the_user_named():
    text = page(
        pictures=[PICTURES[0] | {"title": "<b>bold</b>", "warnings": ["<b>bold</b>"]}],
        config={"id": "<script>alert(1)</script>"},
        provenance=[PROVENANCE[0] | {"name": "<i>x</i>"}],
    )  # fmt: skip
    assert "<b>" not in text
    assert "<script>" not in text
    assert "<i>" not in text


def test_report_shows_notes_and_provenance_and_a_figures_warnings_in_its_caption():
    text = page(pictures=[PICTURES[0] | {"warnings": ["Many ties."]}, PICTURES[1]])
    assert "step size α = 0.015" in text
    caption = text[text.index("<figcaption") :].split("</figcaption>")[0]
    assert "Many ties." in caption
    assert "<code>0123456789abcdef</code>" in text


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (ONE_SEED, "One seed: differences between rows may be chance."),
        (TWO_SEEDS, "Only 2 seeds: the deviations are rough."),
        ([row | {"n_ood": min(row["n_ood"], 50)} for row in ONE_SEED],
         "<li>cars: few samples, so coarse figures.</li>"),
    ],
)  # fmt: skip
def test_report_warns(figures, words):
    assert words in page(figures)


def fact(**changes):
    return {"cats": {"in_training": 0}, "dogs": DOGS | changes}


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (fact(auroc=0.95), "<li>dogs: one statistic of the pixels (std) tells it from ID with an "
                           "AUROC of 95.0, so a detector need not have learnt more.</li>"),
        (fact(in_training=1200), "<li>dogs: it holds exact copies of ID pictures: 1,200 of the "
                                 "training split, 0 of the test split, among 50."),
        (fact(in_test=3), "0 of the training split, 3 of the test split"),
        ({"cats": {"in_training": 7}}, "7 ID test pictures (cats) are exact copies"),
    ],
)  # fmt: skip
def test_report_warns_of_what_pixels_tell(pixels, words):
    assert words in page(pixels=pixels)
    assert words not in page(pixels=PIXELS)


def test_a_sets_warnings_stand_below_the_table_that_shows_it_and_its_head_has_their_number():
    strange = {"birds": DOGS | {"auroc": 1.0}}
    text = page(pixels=fact(auroc=0.96) | strange)
    table = text[text.index("<table") :].split("</ol>")[0]
    heads = [
        re.sub(r"<[^>]+>|\s", "", head) for head in re.findall(r"<th.*?</th>", table, re.DOTALL)
    ]
    assert "dogs1n=2,000" in heads
    assert "carsn=1,000" in heads
    assert "need not have learnt more" in table.split("</table>")[1]
    assert "birds" not in text


def test_an_auroc_below_the_pixels_is_marked():
    control = [
        {**row, "method": "pixel_statistics", "score": "best", "value": 0.65, "seed": 0}
        for row in ONE_SEED
        if (row["method"], row["metric"], row["ood_dataset"]) == ("bood", "auroc", "dogs")
    ]
    text = page([*ONE_SEED, *control])
    marked = {row[0][0]: row[2] for row in cells(text.split("</table>")[0])}
    assert marked["Cross-entropy"] == ["40.0", "60.0", "†"]
    assert marked["BOOD"] == ["30.0", "70.0"]
    assert "tells this set better" in text
    assert "tells this set better" not in page()


def test_the_interval_stands_in_small_type_beside_its_figure():
    text = page()
    line = next(row for row in cells(text.replace("small", "span")) if row[0] == ["BOOD", "Energy"])
    assert line[1:4] == [["20.0", "80.0"], ["30.0", "70.0", "50.0–87.0"], ["10.0", "90.0"]]
    assert "95\u00a0% interval" in text
    assert "In small type" not in page(intervals=pd.DataFrame(columns=[*INTERVALS[0]]))


def test_rows_that_cannot_be_told_from_the_best_are_marked_and_the_mark_is_explained():
    text = page(differences=Differences(pd.DataFrame(DIFFERENT)))
    marked = {row[0][0]: row for row in cells(text.split("</table>")[0])}
    assert marked["Cross-entropy"][1:4] == [
        ["30.0", "70.0", "≈"], ["40.0", "60.0"], ["20.0", "80.0", "≈"]
    ]  # fmt: skip
    assert not any("≈" in cell for cell in marked["BOOD"])
    assert "≈: cannot be told apart from the best of its column" in text
    assert "with one seed over samples alone" in text
    assert "≈" not in page()


def test_the_page_begins_with_what_the_run_came_to():
    text = page(differences=Differences(pd.DataFrame(DIFFERENT)), costs=COSTS)
    answers = text[text.index("<dl") :].split("</dl>")[0]
    topics = re.findall(r"<dt>(.*?)</dt>", answers)
    assert topics[:2] == ["Best", "Against plain"]
    assert "One seed of BOOD by Energy, with all that it rests on, took 30 min" in answers
    assert topics.index("Cost") < topics.index("Validation")
    assert text.index("<dl") < text.index("<table")


def test_gains_and_prices_stand_in_tables_of_their_own():
    text = page(differences=Differences(pd.DataFrame(DIFFERENT)), costs=COSTS)
    lines = [[" ".join(cell) for cell in row] for row in cells(text)]
    assert ["BOOD Energy", "30 min 0 s", "18 min 0 s", "+10.0", "1 min 48 s", "H1"] in lines
    assert ["Cross-entropy Energy", "12 min 0 s", "0.0 s", "–", "–", "H1"] in lines
    assert "Differences from the best, BOOD by Energy" in text
    assert ["Cross-entropy Energy", f"{MINUS}10.0 ≈", "–", "–", "–"] in lines
    assert "Cost beside quality" not in page()


def test_cost_lines_add_up_what_is_known():
    assert report.cost_lines(STAGES) == [
        ["images", "4", "1,200", "30 min 0 s", "3 MB", "H1"],
        ["copied", "1", "?", "?", "500 kB", ""],
        ["sum", "5", "", "30 min 0 s", "3.5 MB", ""],
    ]


def papers(root):
    """The artifacts that hold the paper's tables."""
    ours = run_of([BOOD, DREAMOOD], std=0.01)
    compared = {
        name: {f"table{n}.csv": csv_text(compare_with_bood(ours, n)) for n in numbers}
        for name, numbers in {"tables": "127", "ablations": "368"}.items()
    }
    spent = {"bood": {"encoder": 60, "features": 30, "distances": 6}}
    compared["costs"] = {f"table{n}.csv": csv_text(costs.compare_cost(spent, n)) for n in "45"}
    return {name: fake_artifacts.make(root, name, files=files) for name, files in compared.items()}


def test_paper_tables_stand_in_their_order_and_folded(tmp_path):
    tables = report.paper_tables(papers(tmp_path).values())
    assert [item["table"].title.split(":")[0] for item in tables] == [
        f"BOOD's table {number}" for number in range(1, 9)
    ]
    text = page(papers=tables)
    titles = re.findall(r"<details><summary>BOOD&#39;s table (.)", text)
    assert titles == list("12345678")


def test_paper_tables_are_left_out_where_nothing_is_measured_on_the_papers_data(tmp_path):
    made = papers(tmp_path)["tables"]
    for file in ("table1.csv", "table2.csv", "table7.csv"):
        path = made.folder / file
        path.write_text(path.read_text().replace("True", "False"))
    assert report.paper_tables([made]) == []
    assert "Beside published figures" not in page()


def test_the_best_of_a_column_is_bold_and_what_is_no_detector_never_is():
    text = page().split("</table>")[0]
    rows = re.findall(r"<tr>(<th scope=\"row\".*?)</tr>", text, re.DOTALL)
    best = {
        re.sub(r"<[^>]+>", " ", row).split()[0]: re.findall(r"<strong>(.*?)</strong>", row)
        for row in rows
    }
    assert best["BOOD"] == ["20.0", "80.0", "30.0", "70.0", "10.0", "90.0"]
    assert best["Cross-entropy"] == []


def test_every_word_of_the_tables_is_explained_where_it_stands_and_in_a_list():
    data = {"dogs": {"kind": "folder"}, "cars": {"kind": "svhn"}, "cats": {"kind": "npz"}}
    text = page(config={"id": "cats", "datasets": data})
    explained = {html.unescape(word) for word in re.findall(r"<abbr[^>]*>(.*?)</abbr>", text)}
    listed = {html.unescape(word) for word in re.findall(r"<dt>(.*?)</dt>", text)}
    rows = {"BOOD", "Cross-entropy", "Energy"}
    assert rows | {"dogs", "cars", "ID", "OOD", "FPR95 ↓", "AUROC ↑", "ID accuracy"} <= explained
    assert rows | {"dogs", "cars", "cats", "ID", "OOD", "FPR95", "AUROC"} <= listed


def test_the_page_says_when_and_where_it_was_made():
    run = Run(first=1_795_838_000.0, last=1_795_838_159.0, hours=0.5, hosts={"vm"},
              devices={"cpu"})  # fmt: skip
    text = " ".join(page(run=run).split())
    assert "28 November 2026" in text
    assert "2 min 39 s from the first job" in text
    assert "30 min 0 s of all jobs together; cpu on vm" in text
    assert "UTC" not in page()


def test_paper_tables_show_what_the_layout_holds(tmp_path):
    tables = report.paper_tables(papers(tmp_path).values())
    text = page(papers=tables[:1])
    table = text[text.index('<table class="paper"') :].split("</table>")[0]
    body = re.findall(r"<tr>(.*?)</tr>", table.split("</thead>")[1], re.DOTALL)
    shown = [re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL) for row in body]
    marks = tables[0]["marks"]
    for line, cells in zip(tables[0]["table"].lines, shown, strict=True):
        expected = [f"{cell.text}{marks.get(cell.note, '')}" for cell in line[2:]]
        if line[0].text:  # a method with its score stands beside all of its lines
            expected.insert(0, line[0].text + line[1].text)
        texts = [html.unescape(re.sub(r"<[^>]+>|\n", "", cell)) for cell in cells]
        assert texts == expected
    for note in marks:
        assert f"<li>{note}.</li>" in html.unescape(text)
    assert "<strong>" in table


def album(root, name, content, warnings=()):
    figures = [{"file": "a.png", "title": name, "caption": "b", "warnings": warnings}]
    files = {"a.png": content, "captions.json": {"figures": figures}}
    return fake_artifacts.make(root, name, files=files)


def made_page(root, config=CONFIG, intervals=INTERVALS, **more):
    """The page that the stage writes; `more` are inputs in place of these or beside them."""
    lines = [",".join(str(row[key]) for key in metrics.COLUMNS) for row in ONE_SEED]
    measured = "\n".join([",".join(metrics.COLUMNS), *lines, ""])
    summarised = csv_text(averaged(ONE_SEED))
    base = root / "default"  # apart from `more`, which may have the same digests
    inputs = {
        "metrics": fake_artifacts.make(
            base, "metrics",
            files={
                "metrics.csv": measured, "intervals.csv": csv_text(pd.DataFrame(intervals)),
                "differences.csv": csv_text(pd.DataFrame(DIFFERENT)),
            },
        ),
        "tables": fake_artifacts.make(
            base, "tables", files={"summary.csv": summarised}, settings={"notes": SETTINGS}
        ),
        "gallery": album(base, "gallery", "picture", ["c"]),
        "figures": album(base, "figures", "curve"),
        "pixel_statistics": fake_artifacts.make(
            base, "pixel_statistics", files={"pixel_statistics.json": PIXELS}
        ),
        "datasets": [
            fake_artifacts.make(base, "dataset", files={"dataset.json": facts}, settings=facts)
            for facts in SETS
        ],
    } | more  # fmt: skip
    settings = {"config": config, "outliers": {}, "provenance": PROVENANCE}
    found = fake_artifacts.run_stage(root, report.main, "report", settings, inputs)
    return found.folder / "report.html"


def test_report_stage_reads_its_inputs(tmp_path):
    text = made_page(tmp_path).read_text(encoding="utf-8")
    picture, curve = (
        text.index(base64.b64encode(name).decode()) for name in (b"picture", b"curve")
    )
    assert picture < curve
    assert "30.0" in text
    assert "What each stage took" not in text
    assert "The paper&#39;s tables" not in text


def test_report_stage_reads_what_it_may_have_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (known,) = PROVENANCE
    made = fake_artifacts.make(tmp_path, "dataset", files={"a": "b"})
    place = tmp_path / "artifacts" / known["stage"] / known["name"] / known["digest"]
    shutil.copytree(made.folder, place)
    (place / "run.json").write_text(json.dumps({"seconds": 1800}))
    path = made_page(
        tmp_path, sweeps=album(tmp_path, "sweeps", "swept", ["mind"]),
        ablations=papers(tmp_path)["ablations"], costs=papers(tmp_path)["costs"],
    )  # fmt: skip
    text = path.read_text(encoding="utf-8")
    sections = ("30.0", "BOOD&#39;s table 3", "BOOD&#39;s table 4",
                base64.b64encode(b"curve").decode(), base64.b64encode(b"swept").decode(),
                "<li>mind</li>",
                "30 min 0 s", "step size α", "&#34;id&#34;: &#34;cats",
                "0123456789abcdef")  # fmt: skip
    places = [text.index(words) for words in sections]
    assert places == sorted(places)


def test_step_sizes_that_jobs_found_are_told_by_seed(tmp_path):
    found = [
        fake_artifacts.make(
            tmp_path, "distances",
            files={"distances.json": {"step_size": size, "median_steps": 30, "sampled": 1000}},
            settings={"seed": seed, "feature_space": "unit"},
        )
        for seed, size in ((1, 0.00171234), (0, 0.0015368))
    ]  # fmt: skip
    assert report.step_sizes(found) == [
        "the median of 1,000 unit features crosses after 30 steps (seed 0): "
        "distances.step_size = 0.001537",
        "the median of 1,000 unit features crosses after 30 steps (seed 1): "
        "distances.step_size = 0.001712",
    ]
