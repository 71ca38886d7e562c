import csv
import io
import re
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from bood_tasks import PROJECT
from bood_tasks.catalogue.methods import METHODS
from bood_tasks.reporting.tables.costs import compare_cost, cost_layout
from bood_tasks.reporting.tables.frames import csv_text, read_csv, records
from bood_tasks.reporting.tables.latex import floats as latex
from bood_tasks.reporting.tables.layout import markdown
from bood_tasks.reporting.tables.paper_tables import bood_layout
from bood_tasks.reporting.tables.published import KEY, compare_with_bood, read_published

FAR = ["svhn", "places365", "lsun", "isun", "dtd"]  # table 1's data sets as the presets call them
BOOD, DREAMOOD, MSP = ("bood", "", "energy"), ("dreamood", "", "energy"), ("ce", "", "msp")
STRANGE = "a_b & 50% $x$"
METRICS_OF_RUN = (("fpr95", "id"), ("fpr95", "ood"), ("auroc", ""), ("aupr_in", ""))


def run_of(lines, *, identity="cifar100", tested=FAR, fpr95=0.2, auroc=0.9, id_acc=0.75, std=None):
    """Rows as summary.aggregate returns them; the k-th row's values are k points larger, and the
    j-th data set's another j tenths of a point."""
    rows = []
    for k, (method, variant, score) in enumerate(lines):
        row = {
            "method": method, "variant": variant, "id_dataset": identity, "split": "test",
            "std": std, "n_seeds": 1 if std is None else 3, "n_id": 100, "n_ood": 0,
        }  # fmt: skip
        for split in ("test", "validation"):
            which = {"score": "", "ood_dataset": "", "metric": "id_acc", "convention": ""}
            value = id_acc + k / 100 if split == "test" else 0
            rows.append(row | which | {"split": split, "mean": value})
        base = {"fpr95": fpr95, "auroc": auroc, "aupr_in": 0.5}
        for metric, convention in METRICS_OF_RUN:
            value = base[metric] / (2 if convention == "ood" else 1) + k / 100
            which = row | {"score": score, "metric": metric, "convention": convention}
            means = [value + j / 1000 for j in range(len(tested))]
            for name, mean in zip(tested, means, strict=True):
                rows.append(which | {"ood_dataset": name, "mean": mean, "n_ood": 10})
            average = {"mean": sum(means) / len(means), "n_ood": 10 * len(means)}
            rows.append(which | {"ood_dataset": "average"} | average)
            blurred = {"ood_dataset": "blurred", "split": "control", "mean": 0, "n_ood": 10}
            rows.append(which | blurred)
    return pd.DataFrame(rows)


def cell(rows, method, dataset, metric="fpr95", convention=None, **more):
    """The one row of a comparison at this place; `dataset` as printed, else as we call it."""
    convention = {"fpr95": "id"}.get(metric, "") if convention is None else convention
    wanted = {"method": method, "metric": metric, "convention": convention} | more
    (found,) = (
        row for row in rows
        if wanted.items() <= row.items()
        and (row["published_ood_dataset"] or row["ood_dataset"]) == dataset
    )  # fmt: skip
    return found


def lines_of(text, method):
    """Cells of a method's lines in Markdown, by their label."""
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    start = next(k for k, row in enumerate(rows) if row[0] == method)
    block = [rows[start]]
    for row in rows[start + 1 :]:
        if row[0]:
            break
        block.append(row)
    words = next(k for k, text in enumerate(block[0]) if text == "ours")
    return {row[words]: row[words + 1 :] for row in block}


@pytest.mark.parametrize("table", KEY["tables"])
@pytest.mark.parametrize("identity", ["cifar100", "fashion8"])
def test_every_published_figure_is_found_again_exactly_once(table, identity):
    entry = KEY["tables"][table]
    rows = compare_with_bood(run_of([BOOD], identity=identity), table)
    printed = read_published(entry["file"])
    for row in printed:
        name = "" if row["metric"] == "id_acc" else row["dataset"]
        found = cell(rows, entry["line"].format(**row), name, row["metric"])
        assert found["published"] == pytest.approx(float(row["value"]) / 100, abs=1e-15)
        assert (found["published_std"] is None) == (row["std"] == "")
        if row["std"]:
            assert found["published_std"] == pytest.approx(float(row["std"]) / 100, abs=1e-15)
    assert sum(row["published"] is not None for row in rows) == len(printed)


def test_difference_is_ours_minus_published_in_fractions():
    """BOOD on SVHN: 20 % against the printed 5.42 ± 0.5 %, on all five sets 20.2 against 10.67."""
    rows = compare_with_bood(run_of([BOOD], std=0.01), "1")
    svhn, average = cell(rows, "BOOD", "Svhn"), cell(rows, "BOOD", "Average")
    assert (svhn["published"], svhn["published_std"]) == (0.0542, 0.005)
    assert svhn["delta"] == pytest.approx(0.1458)
    assert average["delta"] == pytest.approx(0.202 - 0.1067)
    assert cell(rows, "BOOD", "Svhn", "auroc")["delta"] == pytest.approx(0.9 - 0.9843)
    assert cell(rows, "BOOD", "", "id_acc")["delta"] == pytest.approx(0.75 - 0.7803)
    assert svhn["comparable"] is average["comparable"] is True
    assert svhn["missing"] == svhn["published_missing"] == ""
    assert (svhn["n_seeds"], svhn["n_id"], svhn["n_ood"], svhn["std"]) == (3, 100, 10, 0.01)
    assert svhn["our_method"] == "bood"


def test_improvement_of_ours_is_positive_where_bood_is_better():
    """BOOD is a point higher in every figure: worse in FPR95, better in AUROC."""
    rows = compare_with_bood(run_of([DREAMOOD, BOOD]), "1")
    gain = cell(rows, "Delta (improvements)", "Lsun")
    assert (gain["mean"], gain["published"]) == (pytest.approx(-0.01), 0.2219)
    better = cell(rows, "Delta (improvements)", "Lsun", "auroc")
    assert better["mean"] == pytest.approx(0.01)
    alone = cell(compare_with_bood(run_of([BOOD]), "1"), "Delta (improvements)", "Lsun")
    assert alone["missing"] == "not both of its methods are among the rows of this run"


def test_missing_figures_say_why():
    rows = compare_with_bood(
        run_of([BOOD, ("bood", "gaussian", "energy"), MSP], tested=["svhn", "near"]), "1"
    )
    reasons = {
        ("VOS", "Svhn"): ("method not among the rows of this run", ""),
        ("Energy", "Svhn"): ("score not among the rows of this run", ""),
        ("BOOD", "Lsun"): ("data set lsun not in this run", ""),
        ("BOOD", "Svhn"): ("one seed: no deviation", ""),
        ("BOOD", "near"): ("one seed: no deviation", "the paper's table 1 has no data set “near”"),
        ("BOOD · gaussian", "Svhn"): ("one seed: no deviation", "not a row of the paper's table 1"),
    }
    for (method, dataset), expected in reasons.items():
        found = cell(rows, method, dataset)
        assert (found["missing"], found["published_missing"]) == expected, (method, dataset)
    other = cell(rows, "BOOD", "Svhn", convention="ood")
    assert other["mean"] == 0.1
    assert other["published_missing"] == "the paper prints FPR95 with ID positive"
    assert not any(row["ood_dataset"] == "blurred" for row in rows)


def test_average_over_fewer_data_sets_is_flagged():
    found = cell(compare_with_bood(run_of([BOOD], tested=["svhn", "dtd"]), "1"), "BOOD", "Average")
    assert found["comparable"] is False
    assert found["delta"] == pytest.approx(0.2005 - 0.1067)


def test_average_over_more_data_sets_is_taken_over_the_papers():
    """One run on ImageNet-100 serves tables 2 and 7; the ablations average over table 1's sets."""
    near = ["ninco", "ssb_hard"]
    run = run_of(
        [BOOD], identity="imagenet100", std=0.01,
        tested=["inaturalist", "places", "sun", "dtd", *near],
    )  # fmt: skip
    before = run.copy()
    for table, mean, count in (("2", 0.2015, 40), ("7", 0.2045, 20)):
        found = cell(compare_with_bood(run, table), "BOOD", "Average")
        assert found["mean"] == pytest.approx(mean)
        assert (found["std"], found["n_ood"], found["comparable"]) == (None, count, True)
        assert found["missing"] == "computed from means over seeds: no deviation"
    pd.testing.assert_frame_equal(run, before)
    ablation = cell(
        compare_with_bood(run_of([BOOD], tested=[*FAR, "near"]), "3"), "BOOD", "Average"
    )
    assert ablation["mean"] == pytest.approx(0.202)


def test_other_in_distribution_data_set_only_averages_side_by_side():
    run = run_of([BOOD], identity="fashion8", tested=[*FAR, "near"])
    rows = compare_with_bood(run, "1")
    assert {(row["published_ood_dataset"]) for row in rows if row["delta"] is not None} == {
        "Average"
    }
    assert not any(row["comparable"] for row in rows)
    textures = cell(rows, "BOOD", "Textures")  # of the same name as ours, yet set beside nothing
    assert textures["mean"] is None
    assert textures["missing"].startswith("the in-distribution data are others")
    accuracy = cell(rows, "BOOD", "", "id_acc")
    assert (accuracy["mean"], accuracy["published"], accuracy["delta"]) == (0.75, 0.7803, None)
    for text in (markdown(bood_layout(rows, convention="id")),
                 latex(bood_layout(rows, convention="id"))):  # fmt: skip
        assert "ID fashion8 and its test sets against the paper's ID Cifar-100" in text
        assert "different data sets and proves nothing about reproduction" in text
        assert "Svhn" not in text
    text = markdown(bood_layout(rows, convention="id"))
    found = lines_of(text, "BOOD")
    assert found["ours"] == ["**20.25**", "**90.25**", "**75.00**"]
    flagged = re.search(r"^(\d+)\. ID fashion8 and .* proves nothing", text, re.MULTILINE)[1]
    numbers = [f"{number}<sup>{flagged}</sup>" for number in ("+9.58", "\N{MINUS SIGN}7.17")]
    assert found["difference"][:2] == numbers
    assert found["difference"][2].startswith("–")


def test_markdown_shows_ours_published_and_difference_in_percent():
    near = run_of([BOOD], identity="imagenet100", tested=["ninco", "ssb_hard"], std=0.013)
    rows = compare_with_bood(near, "7")
    text = markdown(bood_layout(rows, convention="id"))
    assert "NINCO<br>FPR95 ↓ | NINCO<br>AUROC ↑ | SSB-hard<br>FPR95 ↓" in text
    found = lines_of(text, "BOOD")
    assert found["ours"][:2] == ["**20.00 ± 1.30**", "**90.00 ± 1.30**"]
    assert found["published"] == ["54.37", "89.82", "75.48", "80.82", "64.93", "85.32"]
    assert found["difference"][:3] == ["\N{MINUS SIGN}34.37", "+0.18", "\N{MINUS SIGN}55.38"]
    assert list(lines_of(text, "DreamOOD")) == ["ours", "published"]
    assert "means ± standard deviation over 3 seeds" in text


def test_best_of_ours_is_low_for_fpr95_and_high_for_auroc_and_accuracy():
    text = markdown(
        bood_layout(compare_with_bood(run_of([MSP, DREAMOOD, BOOD]), "1"), convention="id")
    )
    bold = {
        method: [value.startswith("**") for value in lines_of(text, method)["ours"]]
        for method in ("MSP", "DreamOOD", "BOOD", "Delta (improvements)")
    }
    low, high = [True, False] * 6 + [False], [False, True] * 6 + [True]
    none = [False] * 13
    assert bold == {"MSP": low, "DreamOOD": none, "BOOD": high, "Delta (improvements)": none}
    assert "**10.67" not in text  # a published figure is no result of ours


def test_figures_that_print_alike_are_all_best():
    run = run_of([MSP, BOOD])
    run.loc[(run["method"] == "bood") & (run["metric"] == "fpr95"), "mean"] += -0.01 + 1e-6
    text = markdown(bood_layout(compare_with_bood(run, "1"), convention="id"))
    assert lines_of(text, "MSP")["ours"][0] == "**20.00**"
    assert lines_of(text, "BOOD")["ours"][0] == "**20.00**"
    assert lines_of(text, "MSP")["ours"][1] == "90.00"


@pytest.mark.parametrize("table", KEY["tables"])
@pytest.mark.parametrize("convention", ["id", "ood"])
def test_markdown_is_rectangular_and_every_dash_has_its_note(table, convention):
    rows = compare_with_bood(run_of([BOOD, ("bood", STRANGE, "energy")]), table)
    text = markdown(bood_layout(rows, convention=convention))
    block = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block}) == 1
    assert not re.search(r"–(?!<sup>)", text)
    listed = re.findall(r"^(\d+)\. ", text, re.MULTILINE)
    assert listed == [str(n) for n in range(1, len(listed) + 1)]
    assert set(re.findall(r"<sup>(\d+)</sup>", text)) == set(listed)


def test_ood_positive_sheet_shows_our_other_fpr95_without_a_published_one():
    rows = compare_with_bood(run_of([BOOD]), "3")
    text = markdown(bood_layout(rows, convention="ood"))
    found = lines_of(text, "BOOD")
    assert found["ours"] == ["**10.20**", "**90.20**", "**75.00**"]
    assert found["published"][1:] == ["97.42", "77.64"]
    assert "FPR95 with OOD positive" in text


def test_ablation_tables_hold_the_papers_rows_alone():
    variants = ["boundary-unperturbed", "random-perturbed", "gaussian", "centroid", "resnet18"]
    variants += ["resnet34", "x"]
    run = run_of([BOOD, *(("bood", variant, "energy") for variant in variants)])
    for table, k in {"3": [1, 2, 0], "6": [3, 4, 0], "8": [5, 6, None]}.items():
        rows = [row for row in compare_with_bood(run, table) if row["metric"] == "auroc"]
        means = [None if j is None else pytest.approx(0.902 + j / 100) for j in k]
        assert [row["mean"] for row in rows] == means
    names = [row["method"] for row in compare_with_bood(run, "8") if row["metric"] == "id_acc"]
    assert names == ["BOOD, ResNet-18", "BOOD, ResNet-34", "BOOD, ResNet-50"]
    assert not any(row["metric"] == "id_acc" for row in compare_with_bood(run, "6"))


def test_rows_without_a_published_counterpart_come_last():
    run = run_of([("own_method", "", "energy"), ("bood", "gaussian", "energy"), BOOD])
    names = list(dict.fromkeys(row["method"] for row in compare_with_bood(run, "2")))
    assert names[-3:] == ["Delta (improvements)", "own_method", "BOOD · gaussian"]


def test_latex_escapes_names():
    rows = compare_with_bood(run_of([("bood", STRANGE + r" \{}#^~|<*[", "energy")]), "1")
    text = latex(bood_layout(rows, convention="id"))
    assert (
        r"BOOD $\cdot$ a\_b \& 50\% \$x\$ \textbackslash{}\{\}\#\textasciicircum{}"
        r"\textasciitilde{}\textbar{}\textless{}{*}{[} & Energy & ours & \textbf{20.00} &"
    ) in text


@pytest.mark.parametrize("table", KEY["tables"])
def test_latex_is_rectangular_and_balanced(table):
    rows = compare_with_bood(
        run_of([BOOD, ("bood", STRANGE, "energy")], tested=[*FAR, "[x]"]), table
    )
    text = latex(bood_layout(rows, convention="id"))
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    width = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1])
    for line in body:
        if line != r"\addlinespace":
            assert len(re.split(r"(?<!\\)&", line)) == width
            assert line.endswith(r" \\")
    spans = re.findall(r"\\multicolumn\{(\d+)\}", text)
    assert sum(map(int, spans)) == width
    plain = re.sub(r"\\[{}$&%_]", "", text)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert re.findall(r"\\begin\{(\w+)\}", text) == re.findall(r"\\end\{(\w+)\}", text)[::-1]
    assert not set("↓↑±–·") & set(text)


def test_markdown_escapes_a_pipe_and_a_tag():
    rows = compare_with_bood(run_of([("bood", "a|b<i>", "energy")]), "1")
    assert "| BOOD · a\\|b&lt;i> | Energy | ours |" in markdown(bood_layout(rows, convention="id"))


def test_csv_keeps_full_precision_and_every_row():
    run = run_of([BOOD], fpr95=1 / 3)
    rows = compare_with_bood(run, "1")
    found = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert len(found) == len(rows)
    assert float(cell(found, "BOOD", "Svhn")["mean"]) == 1 / 3
    assert cell(found, "BOOD", "Svhn")["published"] == "0.0542"
    costs = csv.DictReader(io.StringIO(csv_text(compare_cost({}, "5"))))
    assert next(costs)["unit"] == "MB"


def test_time_is_summed_over_our_stages_in_hours():
    seconds = {"encoder": 3600, "features": 360, "distances": 180, "ood_features": 180,
               "images": 7200, "detector": 36000.0, "scores": 99}  # fmt: skip
    rows = {row["quantity"]: row for row in compare_cost({"bood": seconds}, "4")[:5]}
    assert [rows[name]["ours"] for name in rows] == pytest.approx([1.1, 0.1, 2, 10, 13.2])
    assert rows["Total"]["delta"] == pytest.approx(13.2 - 16.72)
    assert rows["OOD image generation"]["delta"] == pytest.approx(-5.5)


def test_storage_is_in_the_papers_binary_units():
    """2,500 features of 768 float32 are the 7.32 MB that the paper prints."""
    sizes = {"ood_features": 2500 * 768 * 4, "images": 2**30}
    features, images, total = compare_cost({"bood": sizes}, "5")[:3]
    assert features["ours"] == pytest.approx(7.32, abs=0.005)
    assert (images["ours"], images["delta"]) == (1, pytest.approx(-10.7))
    assert total["ours"] == pytest.approx(1 + 2500 * 768 * 4 / 2**30)


@pytest.mark.parametrize("table", KEY["costs"]["tables"])
def test_costs_not_measured_say_so_and_every_published_one_is_there(table):
    rows = compare_cost({"bood": {"images": 1}, "dreamood": {}}, table)
    printed = read_published(KEY["costs"]["tables"][table]["file"])
    assert [(row["method"], row["quantity"], row["published"], row["unit"]) for row in rows] == [
        (row["method"], row["quantity"], float(row["value"]), row["unit"]) for row in printed
    ]
    empty = [row for row in rows if row["ours"] is None]
    assert len(empty) == len(rows) - 1
    assert {row["missing"] for row in empty if row["method"] == "DreamOOD"} == {
        "method not measured"
    }
    total = next(row for row in rows if row["quantity"] == "Total")
    assert total["missing"].startswith("not measured: ")
    assert "images" not in total["missing"]


def test_cost_tables_can_be_read():
    rows = compare_cost({"bood": {"ood_features": 2**20, "images": 2**30}}, "5")
    text = markdown(cost_layout(rows))
    found = lines_of(text, "BOOD")
    assert found["ours"] == ["1 MB", "1 G", "1 G"]
    assert found["published"] == ["7.32 MB", "11.7 G", "11.7 G"]
    assert found["difference"][0] == "\N{MINUS SIGN}6.32 MB"
    assert lines_of(text, "DreamOOD")["ours"] == ["–<sup>1</sup>"] * 3
    assert r"BOOD & ours & 1 MB & 1 G & 1 G \\" in latex(cost_layout(rows))


def test_unknown_tables_and_methods_are_refused():
    with pytest.raises(ValueError, match=r"table must be one of 1, 2, 3, 6, 7, 8, got '4'"):
        compare_with_bood(run_of([BOOD]), "4")
    with pytest.raises(ValueError, match=r"table must be one of 4, 5, got '1'"):
        compare_cost({}, "1")
    with pytest.raises(ValueError, match=r"methods must be among bood, dreamood, got goe"):
        compare_cost({"goe": {"images": 1}}, "4")


@pytest.mark.parametrize(("preset", "table"), [("cifar100", "1"), ("imagenet100", "2")])
def test_presets_call_their_data_sets_as_the_key_does(preset, table):
    folder = PROJECT / "workflow" / "presets"
    names = yaml.safe_load((folder / f"bood-{preset}.yaml").read_text(encoding="utf-8"))
    rows = compare_with_bood(run_of([BOOD], identity=names["id"], tested=names["test"]), table)
    figures = [row for row in rows if row["method"] == "BOOD" and row["convention"] != "ood"]
    assert all(row["comparable"] and row["delta"] is not None for row in figures)


@pytest.mark.parametrize("table", KEY["tables"])
def test_published_rows_are_scored_as_their_methods_are(table):
    for row in compare_with_bood(run_of([BOOD]), table):
        if row["our_method"] != "ce" and row["score"]:
            assert row["score"] in METHODS[row["our_method"]].scores


def test_import_takes_no_torch():
    code = "import sys, bood_tasks.reporting.tables.paper_tables; sys.exit('torch' in sys.modules)"
    folder = PROJECT
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, check=False).returncode == 0


@pytest.mark.parametrize("std", [None, 0.1 + 0.2])  # the sum needs all of a float's digits
def test_rows_come_back_from_csv_as_they_were(tmp_path, std):
    for name, rows in {
        "quality": compare_with_bood(run_of([BOOD, MSP], std=std, tested=[*FAR, STRANGE]), "1"),
        "other": compare_with_bood(run_of([DREAMOOD], identity="fashion8"), "7"),
        "cost": compare_cost({"bood": {"encoder": 60.25, "features": 30}}, "4"),
    }.items():
        (tmp_path / name).write_text(csv_text(rows), encoding="utf-8")
        back = records(read_csv(tmp_path / name))
        assert back == rows
        assert [list(map(type, row.values())) for row in back] == [
            list(map(type, row.values())) for row in rows
        ]
