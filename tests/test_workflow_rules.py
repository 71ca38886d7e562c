"""The Snakefile's rules and the package's stages are one list: Snakemake itself is asked."""

import os
from pathlib import Path

import pytest
import yte
from snakemake.api import ConfigSettings, OutputSettings, ResourceSettings, SnakemakeApi
from snakemake.io import strip_wildcard_constraints

from bood_tasks import PACKAGE, PROJECT
from bood_tasks.catalogue.methods import PACKAGED
from bood_tasks.catalogue.products import PRODUCTS, targets
from bood_tasks.catalogue.stages import STAGES, method_version, version_of

ROOMS = {"datasets", "generators", "synthesis", "detectors", "scoring", "reporting"}


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    """Return the Snakefile's rules as Snakemake understands them, by name."""
    return parsed(tmp_path_factory.mktemp("workflow"), {})


def parsed(workdir: Path, given: dict) -> dict:
    environment, folder = dict(os.environ), Path.cwd()
    config = ConfigSettings(given, configfiles=[PROJECT / "workflow/presets/smoke.yaml"])
    try:
        with SnakemakeApi(OutputSettings(dryrun=True)) as snakemake:
            workflow = snakemake.workflow(
                ResourceSettings(cores=1), config, snakefile=PROJECT / "Snakefile",
                workdir=workdir,
            )  # fmt: skip
            return {rule.name: rule for rule in workflow._workflow.rules}
    finally:  # the Snakefile prepares the environment of its jobs
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)


@pytest.fixture(scope="module")
def jobs(rules):
    """Return the rules that run something: those of the stages, and `publish`."""
    return {name: rule for name, rule in rules.items() if rule.shellcmd}


@pytest.fixture(scope="module")
def by_stage(jobs):
    return {stage: jobs.get(stage if stage in jobs else f"{stage}_artifact") for stage in STAGES}


def test_each_stage_has_one_rule_of_its_name_and_the_other_way_round(jobs, by_stage):
    assert None not in by_stage.values()
    assert sorted(jobs) == sorted([*(rule.name for rule in by_stage.values()), "publish"])


def test_a_rule_is_called_artifact_where_its_stage_makes_a_product(by_stage):
    for stage, rule in by_stage.items():
        assert (rule.name != stage) == (stage in PRODUCTS), stage


def test_each_rule_writes_its_stage_s_manifest_log_and_benchmark(by_stage):
    for stage, rule in by_stage.items():
        paths = [*rule.output, *rule.log, rule.benchmark]
        assert list(map(strip_wildcard_constraints, paths)) == [
            f"artifacts/{stage}/{{name}}/{{digest}}/manifest.json",
            f"logs/{stage}/{{name}}-{{digest}}.log",
            f"logs/{stage}/{{name}}-{{digest}}.tsv",
        ]


def test_each_rule_stands_in_the_file_of_its_stage_s_room(by_stage):
    for stage, rule in by_stage.items():
        assert Path(rule.snakefile).stem == STAGES[stage].room, stage


def test_rule_files_are_the_six_rooms_and_what_they_share():
    files = {file.stem for file in (PROJECT / "workflow/rules").glob("*.smk")}
    assert files == ROOMS | {"common"}
    assert {stage.room for stage in STAGES.values()} == ROOMS


def test_each_rule_runs_the_module_of_its_artifact_s_stage(jobs, by_stage):
    for stage, rule in by_stage.items():
        assert "python -m bood_tasks.jobs {params.order} --out {output}" in rule.shellcmd, stage
    assert "python -m bood_tasks.reporting.publish " in jobs["publish"].shellcmd


def test_each_rule_has_log_environment_threads_and_resources(jobs):
    for name, rule in jobs.items():
        assert rule.log, name
        assert rule.conda_env, name
        assert {"mem_mb", "runtime", "_cores"} <= set(rule.resources), name


def test_targets_and_publishing_alone_run_where_snakemake_runs(rules):
    workflow = rules["all"].workflow
    assert workflow._localrules == {"publish", "all", *targets()}


def test_jobs_run_in_the_container_that_the_settings_name(jobs, tmp_path_factory):
    assert not any(rule.container_img for rule in jobs.values())
    named = parsed(tmp_path_factory.mktemp("workflow"), {"run": {"container": "own.sif"}})
    assert {named[name].container_img for name in jobs} == {"own.sif"}


def test_a_rule_leases_a_gpu_if_its_stage_wants_one(by_stage):
    for stage, rule in by_stage.items():
        wants = STAGES[stage].gpu
        assert rule.resources.get("gpu") == (1 if wants else None), stage
        assert ("bood_tasks.jobs.gpu {resources.gpu}" in rule.shellcmd) == wants, stage


def test_the_slurm_profile_sends_each_rule_to_the_partition_that_it_needs(jobs):
    text = (PROJECT / "profiles/slurm/config.yaml").read_text()
    profile = yte.process_yaml(text.replace("gpu_partition: gpu", "gpu_partition: with_gpu"))
    sent = {name: found["slurm_partition"] for name, found in profile["set-resources"].items()}
    assert set(sent.values()) == {"with_gpu"}
    assert set(sent) == {name for name, rule in jobs.items() if "gpu" in rule.resources}
    assert profile["default-resources"]["slurm_partition"] == "gpu"


def test_each_target_of_the_products_is_a_rule_that_runs_nothing_itself(rules, jobs):
    assert set(rules) - set(jobs) == {"all", *targets()}


def test_each_stage_and_each_method_is_a_module_with_a_version():
    assert all(version_of(stage) >= 1 for stage in STAGES)
    assert all(method_version(module) >= 1 for module in PACKAGED)


def test_each_module_with_a_version_is_a_stage_or_a_method():
    found = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if any(line.startswith("VERSION = ") for line in path.read_text().splitlines())
    }
    stages = {stage.module for stage in STAGES.values()}
    assert found == stages | {f"detectors.methods.{module}" for module in PACKAGED}
