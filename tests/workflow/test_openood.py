"""The presets of OpenOOD's benchmarks, on stand-in files laid out as its download script does."""

import re

import pandas as pd
import pytest
import torch
from torchvision import models

from bood_tasks.cli.main import main
from bood_tasks.config.load import effective_config
from bood_tasks.config.root import Config
from bood_tasks.plan import plan as planning
from tests.openood_files import lay_out
from tests.workflow.conftest import ROOT, run_presets

PRESETS = ("openood-cifar10", "openood-cifar100", "openood-imagenet200", "openood-imagenet1k")


def config_of(preset: str) -> Config:
    return effective_config([ROOT / "config.yaml", ROOT / f"workflow/presets/{preset}.yaml"])


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_of_openoods_is_planned_on_its_layout(preset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = config_of(preset)
    lay_out(tmp_path / "data", config, 2, 2)
    if config.detector.pretrained:
        folder = tmp_path / "data/weights/resnet50_v1"
        folder.mkdir(parents=True)
        torch.save(models.resnet50().state_dict(), folder / "resnet50-0676ba61.pth")
    plan = planning.make(config)
    data = {spec.settings["name"]: spec for spec in plan.specs.values() if spec.stage == "dataset"}
    assert set(data) == {config.id, *config.test, *config.validation}
    assert set(data[config.id].settings["lists"]) == {"train", "validation", "test"}
    (found,) = (spec for spec in plan.specs.values() if spec.stage == "metrics")
    groups = dict(found.settings["groups"])
    assert list(groups) == ["near", "far"]
    assert [*groups["near"], *groups["far"]] == config.test
    # a missing list is named with its setting
    (tmp_path / "data" / config.datasets["texture"].lists.test).unlink()
    with pytest.raises(FileNotFoundError, match=r"datasets\.texture\.lists\.test must name"):
        planning.make(config)


def test_the_presets_name_what_openood_lays_out():
    for preset in PRESETS:
        for item in config_of(preset).datasets.values():
            if item.kind == "imglist":
                assert item.pictures in ("images_classic", "images_largescale")
                files = filter(None, item.lists.model_dump().values())
                bench = "(cifar100?|imagenet(200)?)"
                assert all(re.fullmatch(rf"benchmark_imglist/{bench}/\w+\.txt", x) for x in files)


def test_bood_runs_on_openoods_benchmark(tmp_path, monkeypatch):
    """As the preset's head says: the paper's preset before it, with rows of both."""
    monkeypatch.chdir(tmp_path)
    files = [ROOT / "config.yaml"]
    files += [ROOT / f"workflow/presets/{x}.yaml" for x in ("bood-cifar100", "openood-cifar100")]
    (tmp_path / "more.yaml").write_text("only: {rows: [ce, dreamood, bood]}\n")
    config = effective_config([*files, tmp_path / "more.yaml"])
    lay_out(tmp_path / "data", config, 100, 1)
    made = planning.make(config)
    data = {spec.settings["name"] for spec in made.specs.values() if spec.stage == "dataset"}
    assert data == {config.id, *config.test, *config.validation}
    assert (config.detector.epochs, config.detector.batch_size) == (100, 128)
    assert any(spec.stage == "images" for spec in made.specs.values())


SMALL = {
    "seeds": [0],
    "image": {"size": 16},
    "detector": {"width": 4, "epochs": 2, "batch_size": 16},
    "scoring": {"knn": {"neighbours": 3}, "vim": {"dimension": 8}},
    "rows": {"ce": {"scores": ["msp", "iodin", "klm", "knn", "ash", "fdbd", "adascale"]}},
}


@pytest.mark.long
def test_the_smallest_benchmark_is_run_from_lists_to_scores_out_and_in(
    tmp_path, monkeypatch, capsys
):
    config = config_of("openood-cifar10")
    lay_out(tmp_path / "data", config, 10, 4)
    done = run_presets(tmp_path, ["openood-cifar10"], SMALL, "metrics", "tables", "report")
    assert done.returncode == 0, done.stderr[-3000:]
    summary = pd.read_csv(tmp_path / "results/tables/summary.csv", keep_default_na=False)
    of = summary[summary.metric == "auroc"].set_index(["score", "ood_dataset"])["mean"]
    for score in SMALL["rows"]["ce"]["scores"]:
        far = of[score][["mnist", "svhn", "texture", "places365"]].mean()
        assert of[score]["average of far"] == pytest.approx(far)
        near = of[score][["cifar100", "tin"]].mean()
        assert of[score]["average of near"] == pytest.approx(near)
    page = (tmp_path / "results/report.html").read_text()
    assert "Average of near" in page
    assert "OpenOOD v1.5's leaderboard of CIFAR-10".replace("'", "&#39;") in page
    # its scores go out and come in with the same figures, beside ours
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text((ROOT / "config.yaml").read_text())
    preset = str(ROOT / "workflow/presets/openood-cifar10.yaml")
    main(["export-scores", "theirs", "--row", "ce", "--score", "knn", "--configfile", preset,
          "overlay.yaml"])  # fmt: skip
    groups = config.metrics.groups
    main(["judge-scores", "theirs", "--near", *groups["near"], "--far", *groups["far"],
          "--out", "theirs.csv", "--id", "cifar10"])  # fmt: skip
    assert "ours: ce knn, AUROC" in capsys.readouterr().out
    found = pd.read_csv("theirs.csv", keep_default_na=False)
    found = found[found.ood_dataset != "tin_val"].set_index(["ood_dataset", "metric", "convention"])
    ours = pd.read_csv("results/metrics.csv", keep_default_na=False)
    ours = ours[(ours.score == "knn") & (ours.split == "test")]
    ours = ours.set_index(["ood_dataset", "metric", "convention"]).value
    assert len(ours) == 5 * len(config.test)
    assert found.value.loc[ours.index].tolist() == ours.tolist()
