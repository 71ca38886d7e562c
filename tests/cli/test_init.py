"""`bood init`: what it writes plans, says what it is, and replaces nothing."""

import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest
import yaml

from bood_tasks.cli.arguments import with_overlays
from bood_tasks.cli.init import configuration, network
from bood_tasks.cli.main import main
from bood_tasks.config.files import OWN, preset
from bood_tasks.plan import plan as planning


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def pictures(tmp_path) -> Path:
    picture = PIL.Image.new("RGB", (40, 40))
    for name, count in {"photos/boot": 30, "photos/dahlia": 30, "strange": 5}.items():
        (tmp_path / name).mkdir(parents=True)
        for number in range(count):
            picture.save(tmp_path / name / f"{number}.png")
    return tmp_path / "photos"


def refusal(*words: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["init", *words])
    return str(caught.value.code)


def planned() -> tuple:
    config = with_overlays([])
    return config, planning.make(config)


def test_a_folder_of_pictures_becomes_a_plan_with_all_choices_made(pictures, capsys):
    main(["init", "--images", "photos", "--ood", "strange"])
    assert "bood run -n" in capsys.readouterr().out
    config, plan = planned()
    assert (config.id, config.test, [*config.rows]) == ("mine", ["strange"], ["ce", "vos", "noise"])
    assert config.image.size == 32  # chosen: the pictures' shorter side is 40
    assert {spec.name for spec in plan.specs.values() if spec.stage == "dataset"} >= {
        "mine",
        "strange",
    }


def test_it_names_the_classes_that_the_shipped_generator_does_not_know(pictures):
    main(["init", "--images", "photos"])
    comment = OWN.read_text().split("does not know:")[1].splitlines()[0]
    assert "dahlia" in comment
    assert "boot" not in comment.replace("boots", "")


@pytest.mark.parametrize("below", ["photos", "photos/Train"])
def test_a_row_that_decodes_is_refused_with_the_nearest_words(pictures, below):
    """Also where the classes lie in a split's folder."""
    if below != "photos":
        (pictures / "Train").mkdir()
        for name in ("boot", "dahlia"):
            (pictures / name).rename(pictures / "Train" / name)
    (pictures.parent / below / "dahlia").rename(pictures.parent / below / "sneker")
    main(["init", "--images", "photos"])
    OWN.write_text(OWN.read_text().replace("rows: [ce, vos, noise]", "rows: [ce, bood]"))
    with pytest.raises(ValueError, match=r"'sneker', near it sneaker"):
        planned()


def test_a_folder_of_texts_becomes_a_plan(tmp_path):
    for name in ("a", "b", "strange"):
        (tmp_path / "texts" / name).mkdir(parents=True)
        (tmp_path / "texts" / name / "1.txt").write_text("some words")
    (tmp_path / "texts/strange").rename(tmp_path / "strange")
    main(["init", "--texts", "texts", "--ood", "strange"])
    config, plan = planned()
    assert (config.test, config.detector.network) == (["strange", "verses"], "gru")
    assert "definitions" not in yaml.safe_load(OWN.read_text())["datasets"]
    assert {spec.stage for spec in plan.specs.values()} >= {"tokens", "detector", "scores"}


def test_without_a_word_it_asks_nothing_and_what_is_missing_is_named(capsys, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bood_tasks.cli.main", "init"], stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 0
    with pytest.raises(FileNotFoundError, match=r"datasets\.mine\.path .*got 'pictures'"):
        planned()


def test_nothing_is_written_over():
    OWN.write_text("seeds: [7]")
    assert "stays" in refusal()
    assert OWN.read_text() == "seeds: [7]"


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ("timm:resnet18", {"timm": "resnet18"}),
        ("transformers:a folder", {"transformers": "a folder"}),
        ("python:my.py:build", {"python": "my.py:build", "mean": [0] * 3, "std": [1] * 3}),
    ],
)
def test_a_classifier_of_others_is_a_setting(given, setting):
    assert yaml.safe_load(network(given)) == setting
    _, text = configuration(classifier=given)
    content = yaml.safe_load(text)
    assert content["detector"]["network"] == setting
    assert content["detector"]["epochs"] == "auto"
    assert content["only"]["rows"] == ["ce", "vos", "noise"]


@pytest.mark.parametrize(
    "given",
    [{"classifier": "onnx:my.onnx"}, {"classifier": "timm:resnet18", "weights": "my: weights.pt"}],
)
def test_weights_are_taken_as_they_are(given):
    content = yaml.safe_load(configuration(**given)[1])
    assert content["detector"].get("pretrained") == given.get("weights")
    assert content["detector"]["epochs"] == 0
    assert content["only"]["rows"] == [*content["rows"]] == ["ce"]
    assert {"vim", "react", "dice"} <= set(content["rows"]["ce"]["scores"])


@pytest.mark.parametrize("weights", [None, "mine.pt"])
def test_outliers_become_rows_that_train_the_classifier_on(pictures, weights):
    """Each starts from the classifier; one without outliers stands beside them."""
    kinds = {"classifier": "timm:resnet18", "weights": weights} if weights else {}
    given = {"images": "photos", "outliers": ["noise", "gan", "strange"], **kinds}
    OWN.write_text(configuration(**given)[1])
    if weights:
        import timm
        import torch

        torch.save(timm.create_model("resnet18", num_classes=2).state_dict(), weights)
    config, plan = planned()
    trained = [spec for spec in plan.specs.values() if spec.stage == "detector"]
    assert len(trained) == 3 * (5 if weights is None else 4)  # a seed each
    assert {spec.name for spec in trained if "outliers" in spec.inputs} == {
        f"outlier_exposure-{kind}-seed{seed}"
        for kind in ("noise", "std50", "natural")
        for seed in range(3)
    }
    starts = {"start", "pretrained"}
    assert sum(bool(spec.inputs.keys() & starts) for spec in trained) == 4 * 3
    assert config.detector.outlier_exposure.weighting == "balanced"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--classifier", "resnet18"], "must be SOURCE:NAME"),
        (["--classifier", "keras:vgg"], "must be SOURCE:NAME"),
        (["--weights", "."], "must have a --classifier"),
        (["--images", "nowhere"], "--images nowhere is not there"),
        (["--images", "flat"], "must have a folder of each class, two or more, and flat has none"),
        (["--images", "lonely"], "two or more, and lonely has cat;"),
        (["--texts", "flat"], "--texts must have a folder of each class"),
        (["--texts", ".", "--classifier", "timm:resnet18"], "got --texts"),
        (["--texts", ".", "--outliers", "noise"], "must be for pictures"),
        (["--outliers", "nois"], "got 'nois'"),
        (["--outliers", ".", ".."], "one folder at most"),
        (["--profile", "pbs"], "must be one of default, slurm"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_file_is_written(words, said, tmp_path):
    (tmp_path / "flat").mkdir()
    (tmp_path / "lonely/cat").mkdir(parents=True)
    assert said in refusal(*words)
    assert not OWN.exists()


@pytest.mark.parametrize("name", ["own-pictures", "own-texts"])
def test_it_holds_every_setting_of_the_preset(name):
    given = yaml.safe_load(preset(name).read_text())
    content = yaml.safe_load(configuration(texts="x" if name == "own-texts" else None)[1])
    for key, value in given.items():
        if key not in ("id", "datasets", "test"):
            assert content[key] == value


def test_a_profile_is_copied_to_be_changed(tmp_path):
    main(["init", "--profile", "slurm"])
    assert "executor: slurm" in (tmp_path / "profiles/slurm/config.yaml").read_text()
    assert "stays" in refusal("--profile", "slurm")
