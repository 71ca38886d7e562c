"""What reruns after which change, by the job list of the real Snakefile (issue: acceptance 2)."""

import pytest
import yaml

READ = {"metrics_artifact": 1, "tables_artifact": 1, "figures_artifact": 1, "report_artifact": 1}
READ |= {"examples_artifact": 1, "gallery_artifact": 1, "costs_artifact": 1}
READ |= {"best_artifact": 1, "losses_artifact": 1, "comparison_artifact": 1}
END = READ | {"publish": 10, "all": 1}
# A detector trained again, and one of one score.
TRAINED = {"detector": 1, "outputs": 1, "scores": 1}
# One BOOD row: its images, the decodes of Figures 2 and 3, its detector and scores.
WAYS = {"trajectory": 1, "strips": 1}
BOOD = {"images": 1, "outlier_distance": 1} | WAYS | TRAINED
NO_WAYS = dict.fromkeys(WAYS, 0)
# A detector's training is as it was, so are its pictures in the gallery and its mistakes.
UNSEEN = {"examples_artifact": 0, "gallery_artifact": 0, "costs_artifact": 0, "losses_artifact": 0}
UNSEEN |= {"publish": 6}
# The gallery waits for no detector.
UNDRAWN = END | {"gallery_artifact": 0, "publish": 9}
UNTRAINED = END | UNSEEN
# Three detectors; cross-entropy's has two scores.
ALL = {"detector": 3, "outputs": 3, "scores": 4}


def test_finished_run_has_nothing_to_do(finished):
    assert finished.planned() == {}


CHANGES = [  # each plan takes Snakemake some seconds: of these, the first two are in `make test`
    ({"distances": {"step_size": 0.06}}, END | BOOD | {"distances": 1, "ood_features": 1}),
    ({"rows": {"bood": {"scores": ["energy", "msp"]}}}, UNTRAINED | {"scores": 1}),
    ({"ood_features": {"extra_steps": 3}}, END | BOOD | {"ood_features": 1}),
    ({"ood_features": {"rate": 0.1}}, END | BOOD | NO_WAYS | {"ood_features": 1}),
    ({"images": {"guidance": 3}}, END | BOOD | {"images": 2}),  # the ID decodes as well
    ({"images": {"per_class": 80}}, END | BOOD | NO_WAYS),  # one more shard
    ({"detector": {"ood_weight": 2}}, UNDRAWN | {"detector": 2, "outputs": 2, "scores": 2}),
    # cross-entropy's outputs on the training split, too: outliers' distances need them
    ({"detector": {"lr": 0.04}}, UNDRAWN | ALL | {"outputs": 4, "outlier_distance": 1}),
    # so does a score that is fitted, and finds them there; none of the others moves
    ({"rows": {"ce": {"scores": ["msp", "energy", "knn"]}}}, UNTRAINED | {"scores": 1}),
    ({"metrics": {"threshold": "nearest"}}, UNTRAINED | {"pixel_statistics": 1}),
    (
        {"encoder": {"temperature": 0.2}},
        END | BOOD | {"encoder": 1, "features": 1, "distances": 1, "ood_features": 1},
    ),
    (
        {"seeds": [0, 1]},
        END
        | {"encoder": 1, "features": 1, "distances": 1, "ood_features": 1, "images": 1}
        | ALL
        # these show the first seed
        | UNSEEN,
    ),
    # their order is the readers' matter alone
    (
        {"test": ["digits", "near"]},
        UNTRAINED | {"pixel_statistics": 1, "examples_artifact": 1, "publish": 7},
    ),
    (
        {"rows": {"bood": {"set": {"detector": {"ood_weight": 9}}}}},
        UNDRAWN | TRAINED,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("overlay", "jobs"),
    [*CHANGES[:2], *(pytest.param(*change, marks=pytest.mark.long) for change in CHANGES[2:])],
    ids=lambda value: str(value)[:60],
)
def test_a_changed_setting_reruns_what_uses_it(finished, overlay, jobs):
    assert finished.planned(overlay=overlay) == {rule: n for rule, n in jobs.items() if n}


def test_changes_of_no_meaning_rerun_nothing(finished):
    config = finished.config()
    reordered = dict(reversed(list(config.items())))
    reordered["distances"] = dict(reversed(list(config["distances"].items())))
    reordered["images"]["per_class"] = 40.0
    reordered["ood_features"]["extra_steps"] = 2.0
    reordered["run"] = {"inference_batch": 7}
    text = "# a comment\n" + yaml.safe_dump(reordered, sort_keys=False)
    assert finished.planned(text=text) == {}
    assert finished.planned("--set-threads", "detector=2", "images=2") == {}


@pytest.mark.long
def test_scrambled_times_and_lost_records_rerun_nothing(fresh):
    assert not (fresh.path / ".snakemake").exists()
    assert fresh.planned() == {}


@pytest.mark.long
def test_results_follow_the_configuration_there_and_back(fresh):
    """They are one configuration's, whatever part of it was asked for; a person's files stay, and
    so does what both configurations have."""
    results = fresh.path / "results"
    table, mine = results / "metrics.csv", results / "tables" / "notes.txt"
    before = table.read_bytes()
    mine.write_text("mine")
    overlay = {"metrics": {"threshold": "nearest"}, "test": ["digits"]}
    done = fresh.snakemake("metrics", overlay=overlay)
    assert done.returncode == 0
    assert "withdrawn: " in done.stderr
    *_, made, earlier, _ = done.stdout.splitlines()
    assert made == "results/metrics.csv"
    assert earlier.startswith("from earlier runs of this configuration: results/gallery/")
    gone = ("report.html", "tables/summary.csv", "figures", "examples")
    assert not any((results / name).exists() for name in gone)
    assert mine.read_text() == "mine"
    assert (results / "gallery" / "captions.json").is_file()
    assert fresh.overlay in (results / "README.md").read_text()
    assert "near" not in table.read_text()
    assert fresh.planned("metrics") == {"metrics": 1, "publish": 1}  # nothing is computed again
    assert fresh.snakemake("metrics").returncode == 0
    assert table.read_bytes() == before


@pytest.mark.long
def test_a_deleted_artifact_is_remade_with_the_same_content(fresh):
    spec = fresh.specs("scores")[0]
    before = fresh.manifest(spec)
    (fresh.path / spec.manifest).unlink()
    assert fresh.planned() == {}  # what lies above it is finished
    done = fresh.snakemake(spec.manifest)
    assert done.returncode == 0, done.stderr
    assert fresh.manifest(spec) == before


@pytest.mark.long
def test_an_edited_data_folder_reruns_everything_made_from_it(fresh):
    picture = sorted((fresh.path / "pictures" / "coat").glob("*.png"))[0]
    picture.write_bytes(sorted(picture.parent.glob("*.png"))[1].read_bytes())
    jobs = fresh.planned()
    assert jobs["dataset"] == 3  # the folder and the two sets made from it; not near, digits, noise
    for rule in ("anchors", "encoder", "features", "distances", "ood_features", *WAYS):
        assert jobs[rule] == 1, rule
    assert jobs["images"] == 2
    assert jobs["detector"] == 3
    assert jobs["outputs"] == 4  # of cross-entropy on the training split, too
    assert jobs["scores"] == 4
    assert jobs["generator"] == 0
