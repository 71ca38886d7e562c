"""`bood run` and `bood completion`: which words are ours, which are Snakemake's."""

import shlex
import subprocess
import sys

import pytest

from bood_tasks import PROJECT
from bood_tasks.cli.commands.run import snakemake, split
from bood_tasks.cli.main import main, parser
from bood_tasks.config.files import OWN, PRESETS, found, own, shown


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("my.yaml", "b.yaml"):
        (tmp_path / name).write_text("seeds: [1]")


@pytest.mark.parametrize(
    ("typed", "files", "rest"),
    [
        ("", "", ""),
        ("my.yaml", "my.yaml", ""),
        ("-n my.yaml table1", "my.yaml", "-n table1"),
        ("--preset smoke table1", "smoke", "table1"),
        ("--preset smoke paper-smoke my.yaml -n", "smoke paper-smoke my.yaml", "-n"),
        (
            "--preset=smoke --configfile my.yaml b.yaml --cores 2",
            "smoke my.yaml b.yaml",
            "--cores 2",
        ),
        ("--config seeds=[4] x=my.yaml", "", "--config 'seeds=[4]' x=my.yaml"),
        ("-- my.yaml", "", "-- my.yaml"),
        ("artifacts/x/manifest.json -n", "", "artifacts/x/manifest.json -n"),
        ("smoke", "", "smoke"),  # a target: presets go by --preset
    ],
)
def test_words_are_told_apart(typed, files, rest):
    overlays, left = split(shlex.split(typed))
    named = [path.stem if path.is_relative_to(PRESETS) else str(path) for path in overlays]
    assert (named, left) == (files.split(), shlex.split(rest))


def test_the_command_is_snakemake_s_with_the_packaged_snakefile():
    command = snakemake(["--preset", "smoke", "table1"])
    assert command[:4] == [sys.executable, "-P", "-m", "snakemake"]
    assert command[4:] == [
        "--configfile", str(PRESETS / "smoke.yaml"), "--snakefile", str(PROJECT / "Snakefile"),
        "--cores", "all", "table1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "told", ["-c2", "--cores 2", "-j 4", "--jobs=4", "--workflow-profile slurm"]
)
def test_how_many_jobs_is_the_user_s_word_where_there_is_one(told):
    assert "all" not in snakemake(shlex.split(told))


def test_unknown_presets_and_files_are_named():
    for words, said in ((["--preset", "smok"], "did you mean 'smoke'"), (["no.yaml"], "no.yaml")):
        with pytest.raises((ValueError, OSError), match=said):
            snakemake(words)
    with pytest.raises(SystemExit) as caught:
        main(["run", "--preset", "smok"])
    assert "did you mean 'smoke'" in str(caught.value.code)


def test_every_word_reaches_run_as_it_was_typed(capsys):
    words = ["-n", "--set-threads", "encoder=2", "--", "table1"]
    assert parser().parse_args(["run", *words]).words == words
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "--preset demo table1" in capsys.readouterr().out


def test_a_file_s_name_is_one_by_which_it_is_found_again(tmp_path):
    for name in (tmp_path / "my.yaml", PRESETS / "smoke.yaml"):
        assert found(shown(name)).samefile(name)
    assert shown(PRESETS / "smoke.yaml") == "workflow/presets/smoke.yaml"


def test_the_default_is_no_file_of_the_folder_s_own(tmp_path):
    assert own() is None
    OWN.symlink_to(PROJECT / "config.yaml")  # as in a clone
    assert own() is None
    OWN.unlink()
    OWN.write_text("seeds: [3]")
    assert own() == OWN


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_options_and_presets(shell, capsys):
    main(["completion", shell])
    said = capsys.readouterr().out
    assert "goe-newsgroups" in said
    assert "doctor" in said
    if shell == "bash":
        typed = "COMP_WORDS=(bood plan --preset sm); COMP_CWORD=3; _shtab_bood; echo $COMPREPLY"
        script = f"{said}\n{typed}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "smoke"


def test_a_file_that_is_no_yaml_is_named_with_its_line(tmp_path):
    (tmp_path / "bad.yaml").write_text("id: mine\nrows: [ce\n")
    with pytest.raises(ValueError, match=r"bad\.yaml.*line [23]"):
        snakemake(["--configfile", "bad.yaml", "-n"])
