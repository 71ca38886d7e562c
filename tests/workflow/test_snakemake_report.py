"""Snakemake's own report of a finished run: the page, the tables and the figures, with captions."""

import json
import zipfile

import pytest

pytestmark = pytest.mark.long


def test_the_zip_holds_what_lies_in_results(finished, tmp_path):
    path = tmp_path / "report.zip"
    done = finished.snakemake("--report", str(path))
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(path) as made:
        held = {
            name.rsplit("/", 1)[1]: made.read(name)
            for name in made.namelist()
            if name.startswith("report/data/raw/")
        }
        page = made.read("report/report.html").decode()
    results = finished.path / "results"
    found = [*results.glob("*.*"), *results.glob("*/*.png"), *results.glob("tables/*")]
    wanted = [file for file in found if file.is_file() and file.name != "README.md"]
    assert {"metrics.csv", "report.html", "figure1_id_and_ood.png", "summary.md"} < {
        file.name for file in wanted
    }
    assert held == {file.name: file.read_bytes() for file in wanted}
    for album in ("examples", "figures", "gallery"):
        for item in json.loads((results / album / "captions.json").read_text())["figures"]:
            assert json.dumps(f"{item['title']}. {item['caption']}") in page
