"""The console command."""

import json
import os
import shlex
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from bood_tasks.artifacts.spec import Spec, digest_of
from bood_tasks.artifacts.store import Artifact
from bood_tasks.cli.listing import differences, made, summarise
from bood_tasks.cli.main import main, parser
from bood_tasks.plan.plan import Plan
from tests import fake_artifacts


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def two(tmp_path: Path) -> list[Artifact]:
    """An artifact of a text file and one of an array, in ./artifacts."""
    return [
        fake_artifacts.make(tmp_path, "metrics", files={"metrics.csv": "a,b\n1,2\n"}),
        fake_artifacts.make(tmp_path, "features", arrays={"features": np.ones((3000, 2))}),
    ]


def failure(*arguments: str) -> int | str:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return caught.value.code


def test_ls_shows_each_artifact_on_a_line(two, capsys):
    facts = json.loads((two[0].folder / "run.json").read_text()) | {"seconds": 75.2}
    (two[0].folder / "run.json").write_text(json.dumps(facts))
    main(["ls"])
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if two[0].digest in line]
    cells = line.split()
    assert cells[:3] == ["metrics", "fake", two[0].digest]
    assert cells[3] == time.strftime("%Y-%m-%d")  # the date, and the time of day
    assert cells[5:] == ["8", "B", "1", "min", "15", "s"]
    (line,) = [line for line in lines if two[1].digest in line]
    size = sum(item["size"] for item in two[1].files.values())
    assert f"{size / 1000:.3g} kB" in line


def test_ls_shows_what_sets_artifacts_of_one_name_apart(tmp_path, capsys):
    for epochs, name in ((4, "a"), (30, "a"), (30, "b")):
        settings = {"epochs": epochs, "sgd": {"lr": 0.1}, "data": name}
        fake_artifacts.make(tmp_path, "encoder", settings=settings)
    main(["ls", "artifacts/encoder"])
    said = capsys.readouterr().out
    assert "differs in" in said
    assert said.count("epochs=30") == 2
    assert said.count("epochs=4") == said.count("data=b") == 1
    assert "lr" not in said


def test_ls_finds_the_difference_in_what_artifacts_are_made_from(tmp_path):
    encoders = [fake_artifacts.make(tmp_path, "encoder", settings={"width": w}) for w in (4, 8)]
    specs = {}
    for item in encoders:
        spec = fake_artifacts.identity("features", {"k": 1}, {"encoder": item})
        specs[tmp_path / "artifacts/features/f" / digest_of(spec) / "manifest.json"] = spec
    assert list(differences(specs).values()) == ["encoder.width=4", "encoder.width=8"]
    encoders[0].manifest.unlink()
    first, second = differences(specs).values()
    assert first == f"encoder.digest={encoders[0].digest}"
    assert second.startswith("encoder.version=")
    assert second.endswith(", encoder.width=8")


def test_ls_shows_row_counts(tmp_path, capsys):
    made = fake_artifacts.make(tmp_path, "images", files={"x": "y"})
    content = json.loads(made.manifest.read_text()) | {"rows": {"images": 16, "vectors": 2}}
    made.manifest.write_text(json.dumps(content))
    main(["ls", "artifacts/images"])
    assert "16 images, 2 vectors" in capsys.readouterr().out


def test_ls_works_without_run_facts_and_beside_drafts(two, capsys):
    (two[0].folder / "run.json").unlink()
    (two[1].manifest).unlink()
    (two[1].folder / ".progress").mkdir()
    main(["ls"])
    shown = capsys.readouterr().out
    assert two[0].digest in shown
    assert two[1].digest not in shown


def test_ls_takes_a_manifest_among_the_payload_for_a_file(two, capsys):
    (two[0].folder / "model").mkdir()
    (two[0].folder / "model" / "manifest.json").write_text("{}")
    main(["ls"])
    assert "damaged" not in capsys.readouterr().out


def test_ls_shows_damage_and_goes_on(two, capsys):
    two[0].manifest.write_text("{")
    main(["ls"])
    shown = capsys.readouterr().out
    assert "is damaged" in shown
    assert two[1].digest in shown


@pytest.mark.parametrize("command", ["ls", "verify", "summary"])
def test_folder_that_is_not_there_is_named(command):
    assert failure(command, "nowhere") == "error: no such artifact or folder: nowhere"


def test_verify_passes_whole_artifacts(two, capsys):
    assert failure("verify") == 0
    assert capsys.readouterr().out == "2 artifacts read, 0 damages found\n"


def test_verify_names_every_damaged_file(two, capsys):
    """A truncated file and one with a flipped byte in one artifact, a missing one in the other."""
    chunks = two[1].folder / "data.zarr" / "features" / "c"
    first, last = chunks / "0" / "0", chunks / "2" / "0"
    content = bytearray(first.read_bytes())
    content[100] ^= 1
    first.write_bytes(content)
    last.write_bytes(last.read_bytes()[:-1])
    (two[0].folder / "metrics.csv").unlink()
    assert failure("verify", "--jobs", "2") == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[-1] == "2 artifacts read, 3 damages found"
    shown = "\n".join(lines)
    assert f"{first.relative_to(two[1].folder)} has other content" in shown
    assert f"{last.relative_to(two[1].folder)} has " in shown
    assert "metrics.csv is missing" in shown


def test_verify_looks_only_where_asked(two, capsys):
    (two[0].folder / "metrics.csv").unlink()
    assert failure("verify", "artifacts/features") == 0
    assert failure("verify", str(two[0].manifest)) == 1
    assert "1 artifacts read, 1 damages found" in capsys.readouterr().out


def test_verify_finds_an_artifact_under_another_name(two, capsys):
    two[0].folder.rename(two[0].folder.with_name("0123456789abcdef"))
    assert failure("verify") == 1
    assert f"0123456789abcdef: is the artifact {two[0].digest}" in capsys.readouterr().out


def test_verify_names_a_broken_manifest(two, capsys):
    two[0].manifest.write_text("{")
    assert failure("verify") == 1
    assert "manifest.json is damaged" in capsys.readouterr().out


def test_summary_names_outputs_and_time_of_each_stage(two, tmp_path, capsys):
    for item, seconds in zip(two, (3700.0, 2.0), strict=True):
        (item.folder / "run.json").write_text(json.dumps({"seconds": seconds}))
    (tmp_path / "results" / ".published").mkdir(parents=True)
    (tmp_path / "results" / "table1.md").write_text("")
    main(["summary"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["metrics", "1", "1", "h", "1", "min"] in lines
    assert ["features", "1", "2.0", "s"] in lines
    assert lines[-1] == ["results/table1.md"]


def test_summary_reads_its_paths_from_a_file(two, tmp_path, capsys):
    """A sweep has more artifacts than fit into a command line."""
    (tmp_path / "list.txt").write_text(f"{two[1].manifest}\n")
    main(["summary", "@list.txt"])
    shown = capsys.readouterr().out
    assert "features" in shown
    assert "metrics" not in shown


def test_summarise_counts_what_the_plan_holds(tmp_path, capsys):
    plan = Plan()
    for n in range(2):
        plan.add(Spec("tables", "fake", {"n": n}))
    fake_artifacts.make(tmp_path, "tables", settings={"n": 0})
    fake_artifacts.make(tmp_path, "tables", settings={"n": 7})
    summarise(plan, tmp_path / "no note", [])
    assert ["tables", "1"] in [line.split()[:2] for line in capsys.readouterr().out.splitlines()]


def test_the_closing_list_names_what_this_run_made_and_what_was_there(tmp_path):
    published = Path("results/.published")
    published.mkdir(parents=True)
    for kind, files in (("metrics", ["metrics.csv"]), ("tables", ["tables/a", "tables/b"])):
        (published / f"{kind}-0.json").write_text(json.dumps({"files": files}))
    os.utime(published / "metrics-0.json", (1e9, 1e9))
    note = tmp_path / "note"
    note.touch()
    os.utime(note, (1.1e9, 1.1e9))
    records = {"metrics-0.json": "metrics", "tables-0.json": "tables", "report-0.json": "report"}
    assert made(Path("results"), records, note) == [
        "results/tables/ (2 files of tables)",
        "from earlier runs of this configuration: results/metrics.csv",
    ]


def test_every_command_has_an_example_that_its_parser_takes():
    names = next(item for item in parser()._actions if item.dest == "command").choices
    for name in names:
        lines = names[name].get_default("examples")
        assert lines[0] in names[name].format_help()
        for line in lines:
            arguments = parser().parse_args(shlex.split(line.partition(" > ")[0])[1:])
            assert arguments.command == name


def test_help_shows_defaults_and_what_a_path_is(capsys):
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "(default: scores.csv)" in said
    assert "(default: 0.95)" in said
    assert "artifacts/STAGE/NAME/DIGEST" in said
    with pytest.raises(SystemExit):
        main(["ls", "--help"])
    assert "(default: artifacts)" in " ".join(capsys.readouterr().out.split())


def test_files_lie_over_the_folder_s_config_yaml_and_that_over_the_package_s(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("seeds: [3, 4]\nencoder: {epochs: 2, lr: 0.5}")
    (tmp_path / "mine.yaml").write_text("encoder: {lr: 0.25}")
    for words in (["mine.yaml"], ["--configfile", "mine.yaml"]):
        main(["config", *words])
        shown = yaml.safe_load(capsys.readouterr().out)
        assert shown["seeds"] == [3, 4]
        assert (shown["encoder"]["epochs"], shown["encoder"]["lr"]) == (2, 0.25)
        assert shown["id"] == "fashion8"


def test_a_preset_goes_by_its_name_or_its_path_in_a_clone(tmp_path, capsys):
    said = []
    for words in (["--preset", "smoke"], ["smoke"], ["workflow/presets/smoke.yaml"]):
        main(["config", *words])
        said.append(capsys.readouterr().out)
    assert yaml.safe_load(said[0])["images"]["steps"] == 2
    assert len(set(said)) == 1
    (tmp_path / "smoke").write_text("seeds: [7]")  # a file of the folder comes first
    main(["config", "smoke"])
    assert yaml.safe_load(capsys.readouterr().out)["seeds"] == [7]
    assert "did you mean 'smoke'" in str(failure("config", "smok.yaml"))


def test_presets_and_files_are_merged_in_the_order_typed(tmp_path, capsys):
    (tmp_path / "a.yaml").write_text("seeds: [1]")
    main(["config", "--configfile", "a.yaml", "--preset", "smoke"])
    assert yaml.safe_load(capsys.readouterr().out)["seeds"] == [0]
    main(["config", "--preset", "smoke", "--configfile", "a.yaml"])
    assert yaml.safe_load(capsys.readouterr().out)["seeds"] == [1]


CONFIG = """
id: a
test: [b]
datasets: {a: {kind: npz, file: f.npz, train: [x, y], test: [x, y]}, b: {kind: digits}}
rows: {bood: {method: bood}}
"""


def test_config_prints_the_effective_settings(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "mine.yaml").write_text("distances: {step_size: 0.5}\nseeds: [3]")
    main(["config", "config.yaml", "mine.yaml"])
    shown = yaml.safe_load(capsys.readouterr().out)
    expected = {
        "step_size": 0.5, "median_steps": 30, "max_steps": 100, "feature_space": "unit",
        "rows": "all",
    }  # fmt: skip
    assert shown["distances"] == expected
    assert shown["seeds"] == [3]


def test_config_reads_config_yaml_by_itself(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("distances: {step_size: 0.625}")
    main(["config"])
    assert "step_size: 0.625" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("encoder: {tempreature: 1}", "encoder.tempreature is no setting; did you mean"),
        ("a: [", "mine.yaml is no YAML"),
        ("- a", "mine.yaml must hold a mapping, got list"),
    ],
)
def test_config_names_mistakes(tmp_path, content, message):
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "mine.yaml").write_text(content)
    assert message in failure("config", "config.yaml", "mine.yaml")


def test_config_names_a_missing_file():
    assert "mine.yaml is neither a file nor" in failure("config", "mine.yaml")


def test_without_a_config_yaml_of_the_folder_the_package_s_holds(capsys):
    main(["config"])
    assert yaml.safe_load(capsys.readouterr().out)["id"] == "fashion8"


def test_overlays_merge_as_snakemake_merges_them():
    from snakemake.utils import update_config

    from bood_tasks.config.fields import merged

    base = {"a": {"b": 1, "c": {"d": 2}}, "e": [1], "f": 3}
    overlay = {"a": {"c": {"x": 9}, "b": None}, "e": [2], "f": {"g": 1}}
    expected = json.loads(json.dumps(base))
    update_config(expected, overlay)
    assert merged(base, overlay) == expected


def test_schema_is_printed_as_json(capsys):
    main(["schema"])
    assert json.loads(capsys.readouterr().out)["title"] == "Config"
