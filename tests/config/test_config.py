"""Settings: each mistake ends in a message that names the key and the cure."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bood_tasks.cli.commands.schema import schema
from bood_tasks.config.load import ConfigError, load

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"


@pytest.fixture
def raw() -> dict:
    """The smallest configuration: one data set and one row."""
    return {
        "id": "clothes",
        "test": ["digits"],
        "datasets": {
            "clothes": {
                "kind": "npz",
                "file": "embedded:fashion_mnist.npz",
                "train": ["x", "y"],
                "test": ["x", "y"],
            },
            "digits": {"kind": "digits"},
        },
        "rows": {"bood": {"method": "bood"}},
    }


def put(raw: dict, path: str, value: object) -> dict:
    """Set a nested key, e.g. `encoder.lr`."""
    *parents, last = path.split(".")
    for name in parents:
        raw = raw.setdefault(name, {})
    raw[last] = value
    return raw


def test_smallest_configuration_has_the_documented_defaults(raw):
    config = load(raw)
    assert config.seeds == [0]
    assert config.distances.step_size == 0.015
    assert config.detector.ood_weight == 2.5
    assert config.rows["bood"].scores == ["energy"]


def test_shipped_configuration_is_valid():
    load(yaml.safe_load((ROOT / "config.yaml").read_text()))


def test_default_values_keep_their_own_rules(raw):
    """What `bood config` prints can be read again."""
    config = load(raw)
    assert load(config.model_dump()) == config


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("encoder.tempreature", 0.1, r"encoder\.tempreature is no setting; did you mean 'temper"),
        ("detectr", {}, r"detectr is no setting; did you mean 'detector'\?"),
        ("datasets.digits.cuont", 3, r"datasets\.digits\.cuont is no setting; known: kind"),
        ("datasets.clothes.trian", [], r"datasets\.clothes\.trian is no setting; .* 'train'\?"),
        ("rows.bood.scoers", [], r"rows\.bood\.scoers is no setting; did you mean 'scores'\?"),
        ("generator.train.vea_steps", 1, r"train\.vea_steps is no setting; .* 'vae_steps'\?"),
        ("distances.step_size", 0, r"distances\.step_size must be greater than 0, got 0"),
        ("distances.step_size", -1.5, r"distances\.step_size must be greater than 0, got -1\.5"),
        ("distances.step_size", float("nan"), r"distances\.step_size must be .*, got nan"),
        ("distances.step_size", float("inf"), r"distances\.step_size must be .*, got inf"),
        (
            "ood_features.rate",
            5,
            r"ood_features\.rate must be in \(0, 1\], got 5; write 5 % as 0\.05",
        ),
        ("ood_features.rate", 0, r"ood_features\.rate must be greater than 0, got 0"),
        ("encoder.epochs", 0, r"encoder\.epochs must be greater than or equal to 1, got 0"),
        ("encoder.epochs", 2.5, r"encoder\.epochs must be a valid integer, got 2\.5"),
        ("encoder.epochs", True, r"encoder\.epochs must be a valid integer, got True"),
        ("encoder.depth", 19, r"encoder\.depth must be 18, 34 or 50, got 19"),
        ("encoder.flip", 1, r"encoder\.flip must be a valid boolean, got 1"),
        ("images.guidance", 0.5, r"images\.guidance must be greater than or equal to 1, got 0\.5"),
        ("images.scheduler", "heun", r"images\.scheduler must be 'pndm', .* got 'heun'"),
        ("images.prompt", "A photo", r"images\.prompt must hold \{class\} exactly once"),
        ("images.prompt", "{class} {class}", r"images\.prompt must hold \{class\} exactly once"),
        ("datasets.digits.kind", "digit", r"datasets\.digits.*'digit'.*'digits'"),
        ("datasets.digits", {}, r"datasets\.digits.*'kind'"),
        ("datasets.x", {"kind": "npz"}, r"datasets\.x\.file is missing"),
        ("datasets.a/b", {"kind": "digits"}, r"datasets\.a/b.* must match pattern"),
        ("datasets.x", {"kind": "corrupted", "of": "cloths"}, r"x\.of must .* mean 'clothes'"),
        ("id", "cloths", r"id must name a data set, got 'cloths'; did you mean 'clothes'\?"),
        ("id", "digits", r"id must name a data set with training data, got 'digits'"),
        ("datasets.clothes.train", None, r"id must name .*; give datasets\.clothes\.train"),
        ("datasets.x", {"kind": "corrupted", "of": "x"}, r"x\.of must .* read from files, got 'x'"),
        ("test", ["mnist"], r"test must name a data set, got 'mnist'; known: clothes, digits"),
        ("test", [], r"test must have at least 1 item"),
        ("validation", ["digit"], r"validation must name a data set, .* mean 'digits'"),
        ("control", ["digit"], r"control must name a data set, .* mean 'digits'"),
        ("rows.bood.outliers", "digit", r"rows\.bood\.outliers must name .* mean 'digits'"),
        ("rows.bood.scores", [], r"rows\.bood\.scores must have at least 1 item"),
        ("rows.bood.scores", ["kmn"], r"bood\.scores must .*, got 'kmn'; did you mean 'knn'"),
        ("rows", {}, r"rows must have at least 1 item"),
        ("rows.again", {"method": "bood"}, r"rows must differ in method or variant"),
        (
            "rows.bood.set",
            {"detector": {"start": "cee"}},
            r"detector.start must name a row, got 'cee'",
        ),
        ("rows.bood.set", {"detector": {"start": "bood"}}, r"must not lead back to the same row"),
        ("encoder", {"augment": "resized_crop"}, r"resized_crop must have an image.crop below"),
        ("image", {"size": 32, "crop": 33}, r"image\.crop must be at most size = 32, got 33"),
        ("image", {"whole": True}, r"image\.whole must be false unless fit is resize, got fit pad"),
        (
            "image",
            {"whole": True, "fit": "resize"},
            r"image\.whole must be false for id = clothes, got true: pictures of kind npz have all",
        ),
        (
            "datasets.x",
            {"kind": "cifar100", "pth": "a"},
            r"x\.pth is no setting; did you mean 'path'",
        ),
        ("generator", {"source": "hub", "revision": "main"}, r"generator\.revision must match"),
        ("ood_features", {"dreamood": {"sigma": 0}}, r"dreamood\.sigma must be greater than 0"),
        ("ood_features", {"extra_steps": -1}, r"extra_steps must be greater than or equal to 0"),
        ("distances", {"max_steps": 0}, r"max_steps must be greater than or equal to 1, got 0"),
        ("seeds", [1, 2, 1], r"seeds must differ, got \[1, 2, 1\]"),
        ("seeds", [-1], r"seeds\.0 must be greater than or equal to 0, got -1"),
        ("rows.bood.set", {"seeds": {}}, r"rows\.bood\.set\.seeds must be one of distances"),
        ("rows.bood.set", {"distances": {"step_size": 0}}, r"bood\.set\.distances\.step_size must"),
        ("rows.bood.set", {"distances": {"alpha": 1}}, r"set\.distances\.alpha is no setting"),
    ],
)
def test_mistake_is_named_with_its_cure(raw, path, value, message):
    put(raw, path, value)
    with pytest.raises(ConfigError, match=message):
        load(raw)


def test_whole_pictures_that_nothing_takes_parts_of_are_refused(raw):
    image = {"size": 256, "crop": 224, "fit": "resize", "whole": True}
    raw |= {"id": "im", "image": image, "encoder": {"augment": "resized_crop"}}
    raw["datasets"]["im"] = {"kind": "imagenet100"}
    assert load(raw).image.whole
    del raw["encoder"]
    with pytest.raises(ConfigError, match=r"image\.whole must be false, .* write augment: resized"):
        load(raw)
    raw["rows"]["bood"]["set"] = {"detector": {"augment": "resized_crop"}}
    assert load(raw).image.whole


def test_missing_section_is_named(raw):
    del raw["datasets"]
    with pytest.raises(ConfigError, match="datasets is missing"):
        load(raw)


def test_every_mistake_has_its_own_line(raw):
    put(raw, "distances.step_size", 0)
    put(raw, "encoder.epochs", 0)
    with pytest.raises(ConfigError) as caught:
        load(raw)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("path", ["encoder.epochs", "distances.step_size", "encoder.flip"])
def test_text_where_a_number_belongs_points_to_configfile(raw, path):
    """Snakemake hands nested --config values on as text."""
    put(raw, path, "3")
    with pytest.raises(ConfigError, match=r"as text: put it into a file .* --configfile"):
        load(raw)


@pytest.mark.parametrize(
    ("text", "cure"), [("1e-3", "0.001"), ("1e-7", "1.0e-07"), ("2.5e3", "2500.0")]
)
def test_exponent_that_yaml_reads_as_text_has_a_cure(raw, text, cure):
    put(raw, "encoder.lr", yaml.safe_load(text))
    with pytest.raises(ConfigError, match=f"YAML reads {text} as text; write {re.escape(cure)}$"):
        load(raw)
    put(raw, "encoder.lr", yaml.safe_load(cure))
    assert load(raw).encoder.lr == float(text)


def test_whole_float_counts_as_integer(raw):
    put(raw, "encoder.epochs", 3.0)
    epochs = load(raw).encoder.epochs
    assert epochs == 3
    assert isinstance(epochs, int)


def test_row_overrides_touch_that_row_alone(raw):
    raw["rows"]["far"] = {
        "method": "bood",
        "variant": "far",
        "set": {"distances": {"step_size": 1.5}},
    }
    config = load(raw)
    assert config.for_row("far").distances.step_size == 1.5
    assert config.for_row("far").distances.max_steps == config.distances.max_steps
    assert config.for_row("bood") == config


def test_schema_file_is_the_one_of_the_models():
    assert SCHEMA.read_text() == schema() + "\n", (
        f"settings changed: bood schema > {SCHEMA.relative_to(ROOT)}"
    )


def test_schema_accepts_the_shipped_configuration_and_no_unknown_key():
    jsonschema = pytest.importorskip("jsonschema")
    content = yaml.safe_load((ROOT / "config.yaml").read_text())
    jsonschema.validate(content, json.loads(schema()))
    content["encoder"]["tempreature"] = 1
    with pytest.raises(jsonschema.ValidationError, match="tempreature"):
        jsonschema.validate(content, json.loads(schema()))


def test_settings_load_without_heavy_imports():
    """The Snakefile is parsed again for every cluster job."""
    code = "import sys, bood_tasks.plan.plan, bood_tasks.cli.main as cli; cli.parser();"
    code += "print(sorted({'torch', 'zarr', 'numpy', 'pandas', 'sklearn'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout == "[]\n"


def test_corrupted_pictures_of_a_set_that_holds_none_out_are_refused(raw):
    raw["datasets"]["numbers"] = {"kind": "cifar10"}
    raw["datasets"]["smeared"] = {"kind": "corrupted", "of": "numbers"}
    load(raw)  # unused
    raw["control"] = ["smeared"]
    with pytest.raises(ConfigError, match=r"smeared\.of must .* 'numbers' with validation_per_c"):
        load(raw)


def test_a_rows_own_magnitudes_are_a_choice_that_needs_validation_sets(raw):
    raw["validation"] = []
    raw["rows"]["ce"] = {"method": "ce", "scores": ["mahalanobis"]}
    load(raw)
    raw["rows"]["ce"]["set"] = {"scoring": {"mahalanobis": {"magnitudes": [0.0, 0.01]}}}
    with pytest.raises(ConfigError, match=r"mahalanobis is chosen on validation sets and there ar"):
        load(raw)


def test_a_queue_that_no_class_fills_in_time_is_refused_before_training(raw):
    put(raw, "datasets.clothes.train_per_class", 100)
    put(raw, "rows.vos", {"method": "vos"})
    put(raw, "detector.epochs", 4)
    put(raw, "detector.vos.queue", 161)
    with pytest.raises(ConfigError, match=r"detector\.vos\.queue must be at most 160, .* got 161"):
        load(raw)
    put(raw, "detector.vos.queue", 160)
    load(raw)
    put(raw, "rows.vos.set", {"detector": {"epochs": 3}})
    with pytest.raises(ConfigError, match=r"detector\.vos\.queue must be at most 120"):
        load(raw)


def test_two_views_of_a_picture_fill_a_queue_twice_as_fast(raw):
    put(raw, "datasets.clothes.train_per_class", 100)
    put(raw, "rows.vos", {"method": "vos"})
    put(raw, "detector", {"epochs": 4, "augment": "contrastive", "vos": {"queue": 320}})
    load(raw)
    put(raw, "detector.vos.queue", 321)
    with pytest.raises(ConfigError, match=r"detector\.vos\.queue must be at most 320"):
        load(raw)


def test_a_magnitude_of_godin_is_not_chosen_without_id_validation_pictures(raw):
    put(raw, "datasets.clothes.validation_per_class", 0)
    put(raw, "validation", [])
    put(raw, "rows.godin", {"method": "godin"})
    message = r"scoring\.godin\.magnitudes must be one number for row godin .* got 7: "
    with pytest.raises(ConfigError, match=message):
        load(raw)
    put(raw, "rows.godin.set", {"scoring": {"godin": {"magnitudes": [0.01]}}})
    load(raw)
    put(raw, "rows.godin", {"method": "godin", "scores": ["godin_unperturbed"]})
    load(raw)


def test_a_published_set_has_as_many_pictures_as_its_catalogue_says(raw):
    put(raw, "datasets.clothes", {"kind": "cifar100", "validation_per_class": 100})
    put(raw, "rows.npos", {"method": "npos"})
    put(raw, "detector.epochs", 1)
    with pytest.raises(ConfigError, match=r"detector\.npos\.queue must be at most 160"):
        load(raw)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("datasets.clothes.classes", {"bag": 8}, r"must name at least two classes"),
        ("datasets.clothes.classes", {"bag": 8, "boot": 8}, "must give each class a label"),
        ("datasets.again", {"kind": "resampled", "of": "clothes", "size": 32},
         r"datasets\.again\.size must be below image\.size = 32, got 32"),
    ],
)  # fmt: skip
def test_data_sets_that_could_not_serve_are_refused_before_any_job(raw, path, value, message):
    put(raw, path, value)
    with pytest.raises(ConfigError, match=message):
        load(raw)
