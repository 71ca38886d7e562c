import json
import subprocess
import sys

import pytest

from bood_tasks.catalogue.stages import STAGES
from bood_tasks.reporting import publish
from tests import fake_artifacts


def figures(root, **files):
    return fake_artifacts.make(root, "figures", files=files, settings={"of": sorted(files)})


def put(root, artifact, kind="figures"):
    record = root / "results" / ".published" / f"{kind}-{artifact.digest}.json"
    publish.main(["--in", str(artifact.manifest), "--out", str(record), "--kind", kind])
    return record


def shown(root):
    results = root / "results"
    return {
        path.relative_to(results).as_posix(): path.read_text()
        for path in results.rglob("*")
        if path.is_file() and ".published" not in path.parts
    }


def records(root):
    return sorted(path.name for path in (root / "results" / ".published").iterdir())


def test_publish_copies_the_payload_only(tmp_path):
    record = put(tmp_path, figures(tmp_path, a="1", b="2"))
    assert shown(tmp_path) == {"figures/a": "1", "figures/b": "2"}
    assert json.loads(record.read_text())["files"] == ["figures/a", "figures/b"]


def test_metrics_and_report_lie_above_the_tables(tmp_path):
    for kind in ("metrics", "tables", "report"):
        put(tmp_path, fake_artifacts.make(tmp_path, kind, files={f"{kind}.txt": kind}), kind)
    assert sorted(shown(tmp_path)) == ["metrics.txt", "report.txt", "tables/tables.txt"]
    assert len(records(tmp_path)) == 3


def test_publish_replaces_the_last_publication_of_its_kind(tmp_path):
    """What the new one lacks goes, a person's own file stays."""
    put(tmp_path, figures(tmp_path, old="1", both="1"))
    (tmp_path / "results" / "figures" / "mine").write_text("mine")
    record = put(tmp_path, figures(tmp_path, both="2", new="2"))
    assert shown(tmp_path) == {"figures/both": "2", "figures/new": "2", "figures/mine": "mine"}
    assert records(tmp_path) == [record.name]


def about(root, *records, text="whose"):
    """A run's note: it publishes these records, and has something to say of itself."""
    path = root / "note.json"
    path.write_text(json.dumps({"records": [item.name for item in records], "readme": text}))
    return path


def put_of(root, artifact, kind, note):
    record = root / "results" / ".published" / f"{kind}-{artifact.digest}.json"
    given = ["--in", str(artifact.manifest), "--out", str(record), "--kind", kind]
    publish.main([*given, "--about", str(note)])
    return record


def test_with_a_publication_goes_what_other_configurations_have_published(tmp_path, capsys):
    """A person's own files stay, in folders that were published, too; what both have stays."""
    other = put(tmp_path, fake_artifacts.make(tmp_path, "gallery", files={"g": "1"}), "gallery")
    tables = fake_artifacts.make(tmp_path, "tables", files={"t": "1"})
    both = put(tmp_path, tables, "tables")
    put(tmp_path, fake_artifacts.make(tmp_path, "sweeps", files={"s": "1"}), "sweeps")
    (tmp_path / "results" / "gallery" / "mine").write_text("mine")
    (tmp_path / "results" / "notes.txt").write_text("mine")
    record = put_of(tmp_path, figures(tmp_path, a="2"), "figures", about(tmp_path, both))
    assert shown(tmp_path) == {
        "figures/a": "2", "tables/t": "1", "gallery/mine": "mine", "notes.txt": "mine",
        "README.md": "whose",
    }  # fmt: skip
    assert records(tmp_path) == ["README.md", record.name, both.name]
    assert not other.exists()
    assert not (tmp_path / "results" / "sweeps").exists()
    said = capsys.readouterr().out
    assert "withdrawn: gallery (1 file), sweeps (1 file)" in said


def test_a_file_that_both_configurations_have_is_not_withdrawn(tmp_path):
    put(tmp_path, fake_artifacts.make(tmp_path, "costs", files={"t": "1"}), "costs")
    tables = fake_artifacts.make(tmp_path, "tables", files={"t": "2"})
    record = put(tmp_path, tables, "tables")
    put_of(tmp_path, figures(tmp_path, a="2"), "figures", about(tmp_path, record))
    assert shown(tmp_path)["tables/t"] == "2"


def test_a_killed_withdrawal_leaves_no_record_and_is_finished_by_the_next(tmp_path, monkeypatch):
    gallery = fake_artifacts.make(tmp_path, "gallery", files={"a": "1", "b": "1"})
    other, note = put(tmp_path, gallery, "gallery"), about(tmp_path)
    real = publish.Path.unlink

    def killed(path, **more):
        if path.name == "b":
            raise KeyboardInterrupt
        real(path, **more)

    monkeypatch.setattr(publish.Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        put_of(tmp_path, figures(tmp_path, f="1"), "figures", note)
    assert not other.exists()
    assert records(tmp_path) == ["gallery.pending"]
    monkeypatch.undo()
    put_of(tmp_path, figures(tmp_path, f="1"), "figures", note)
    assert set(shown(tmp_path)) == {"figures/f", "README.md"}


def test_results_say_whose_they_are_unless_a_person_has_written_there(tmp_path):
    readme = tmp_path / "results" / "README.md"
    put_of(tmp_path, figures(tmp_path, f="1"), "figures", about(tmp_path, text="first"))
    assert readme.read_text() == "first"
    put_of(tmp_path, figures(tmp_path, f="2"), "figures", about(tmp_path, text="second"))
    assert readme.read_text() == "second"
    readme.write_text("mine")
    for text in ("third", "fourth"):
        put_of(tmp_path, figures(tmp_path, f=text), "figures", about(tmp_path, text=text))
        assert readme.read_text() == "mine"


def test_a_person_s_own_readme_stays_from_the_beginning(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "README.md").write_text("mine")
    for text in ("first", "second"):
        put_of(tmp_path, figures(tmp_path, f=text), "figures", about(tmp_path, text=text))
    assert shown(tmp_path)["README.md"] == "mine"


def test_without_a_note_of_the_run_nothing_of_others_is_withdrawn(tmp_path, capsys):
    put(tmp_path, fake_artifacts.make(tmp_path, "gallery", files={"g": "1"}), "gallery")
    put_of(tmp_path, figures(tmp_path, f="1"), "figures", tmp_path / "gone.json")
    assert set(shown(tmp_path)) == {"gallery/g", "figures/f"}
    assert "gone.json does not say whose" in capsys.readouterr().err


def test_going_back_publishes_the_old_artifact_again(tmp_path):
    first, second = figures(tmp_path, a="1"), figures(tmp_path, b="2")
    for artifact in (first, second, first):
        record = put(tmp_path, artifact)
    assert shown(tmp_path) == {"figures/a": "1"}
    assert records(tmp_path) == [record.name]


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_killed_publication_leaves_no_record_and_is_finished_by_the_next(
    tmp_path, monkeypatch, after
):
    put(tmp_path, figures(tmp_path, a="1", b="1", c="1"))
    halfway = figures(tmp_path, a="2", b="2", d="2")
    real, calls = publish._replace, []

    def killed(source, target):
        calls.append(target)
        if len(calls) > after:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(publish, "_replace", killed)
    with pytest.raises(KeyboardInterrupt):
        put(tmp_path, halfway)
    assert records(tmp_path) == ["figures.pending"]
    monkeypatch.undo()
    put(tmp_path, figures(tmp_path, e="3"))
    assert shown(tmp_path) == {"figures/e": "3"}


def test_publish_refuses_a_results_path_that_is_a_file(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(ValueError, match=r"results must be a folder, got the file .*; move"):
        put(tmp_path, figures(tmp_path, a="1"))


def test_publish_explains_why_results_cannot_be_written(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    artifact = figures(tmp_path, a="1")
    monkeypatch.setattr(publish.Path, "touch", full)
    with pytest.raises(PermissionError, match=r"can be written, got .* \(No space left on device"):
        put(tmp_path, artifact)


def test_publish_refuses_a_damaged_artifact_and_keeps_what_was_there(tmp_path):
    put(tmp_path, figures(tmp_path, a="1"))
    before = shown(tmp_path), records(tmp_path)
    artifact = figures(tmp_path, b="2")
    (artifact.folder / "b").write_text("3")
    with pytest.raises(ValueError, match="b has other content than its manifest says"):
        put(tmp_path, artifact)
    assert (shown(tmp_path), records(tmp_path)) == before


def test_publish_refuses_a_record_with_another_digest(tmp_path):
    artifact = figures(tmp_path, a="1")
    with pytest.raises(ValueError, match=f"--out must be named figures-{artifact.digest}.json"):
        publish.publish(artifact, tmp_path / "results/.published/figures-0.json", kind="figures")


def test_publish_removes_nothing_outside_results(tmp_path):
    (tmp_path / "precious").write_text("")
    record = put(tmp_path, figures(tmp_path, a="1"))
    record.write_text(json.dumps({"files": ["../precious"]}))
    put(tmp_path, figures(tmp_path, b="2"))
    assert (tmp_path / "precious").exists()


def test_exhibits_are_nothing_before_the_publication(tmp_path):
    assert publish.exhibits(tmp_path / "results/.published/tables-0.json") == {}


def test_exhibits_are_files_by_name_and_pictures_by_caption(tmp_path):
    results = tmp_path / "results"
    tables = fake_artifacts.make(tmp_path, "tables", files={"a.csv": "1", "b.md": "2"})
    record = put(tmp_path, tables, "tables")
    named = {str(results / f"tables/{name}"): f"tables/{name}" for name in ("a.csv", "b.md")}
    assert publish.exhibits(record) == named
    (results / "tables/a.csv").unlink()  # by its user
    del named[str(results / "tables/a.csv")]
    assert publish.exhibits(record) == named
    shown = {"file": "a.png", "title": "A", "caption": "What A is."}
    captions = json.dumps({"figures": [shown], "warnings": []})
    record = put(
        tmp_path, figures(tmp_path, **{"a.png": "", "a.svg": "", "captions.json": captions})
    )
    assert publish.exhibits(record) == {str(results / "figures/a.png"): "A. What A is."}


def test_reading_stages_do_not_import_torch():
    """They start in a fraction of torch's three seconds."""
    light = [stage.module for stage in STAGES.values() if stage.room == "reporting"]
    light.remove("reporting.figures.gallery")  # it walks features across the boundary
    modules = ["scoring.metrics", *light, "reporting.publish"]
    lines = [f"import bood_tasks.{module}" for module in modules]
    code = "\n".join(["import sys", *lines, "assert 'torch' not in sys.modules"])
    subprocess.run([sys.executable, "-c", code], check=True)


AT_ONCE = """
import sys
from pathlib import Path
from bood_tasks.reporting import publish
sys.stdin.readline()
publish.main(sys.argv[1:])
"""


def test_of_two_that_publish_at_once_one_stands_whole(tmp_path):
    made = [figures(tmp_path, **{f"{name}{n}": name for n in range(6)}) for name in "ab"]
    pipe = subprocess.PIPE
    for _ in range(3):
        processes = []
        for artifact in made:
            record = tmp_path / "results/.published" / f"figures-{artifact.digest}.json"
            order = ["--in", artifact.manifest, "--out", record, "--kind", "figures"]
            command = [sys.executable, "-c", AT_ONCE, *map(str, order)]
            processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.communicate() and process.returncode for process in processes] == [0, 0]
        (record,) = records(tmp_path)
        (winner,) = (artifact for artifact in made if artifact.digest in record)
        assert set(shown(tmp_path)) == {f"figures/{name}" for name in winner.files}
