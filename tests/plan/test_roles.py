"""Roles of data sets are told by the configuration, and enter an identity only where they count."""

import PIL.Image
import pytest

from bood_tasks.config.load import load
from bood_tasks.plan import plan as planning
from bood_tasks.plan.datasets import dataset
from tests.config.test_config import raw as raw  # a fixture


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        PIL.Image.new("L", (4, 4)).save(tmp_path / "photos" / name / "1.png")
    return {"kind": "folder", "path": "photos", "validation": 0.3, "test": 0.3}


@pytest.mark.parametrize("used", ["test", "validation", "control"])
def test_a_set_that_is_not_id_takes_every_picture(raw, photos, used):
    raw["datasets"]["photos"] = photos
    raw[used] = [*raw.get(used, []), "photos"]
    settings = dataset(load(raw), "photos").settings
    assert settings["role"] == "ood"
    assert not {"validation", "test"} & set(settings)  # which mean nothing to it


def test_the_id_set_and_one_whose_validation_pictures_are_corrupted_keep_theirs(
    raw,
    photos,
):
    raw["datasets"]["photos"] = photos
    plain = dataset(load(raw | {"id": "photos"}), "photos").settings
    assert "role" not in plain
    raw["datasets"]["near"] = {"kind": "corrupted", "of": "photos"}
    raw["validation"] = ["near"]
    assert dataset(load(raw), "near").inputs["of"].settings == plain


def test_the_report_reads_every_set_that_its_figures_rest_on(raw, photos):
    raw["datasets"]["photos"] = photos
    raw["rows"]["oe"] = {"method": "bood", "variant": "photos", "outliers": "photos"}
    report = planning.make(load(raw)).targets["report"]
    assert [spec.settings["name"] for spec in report.inputs["datasets"]] == [
        "clothes", "digits", "photos",
    ]  # fmt: skip
