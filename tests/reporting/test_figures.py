import numpy as np
import PIL.Image
import pytest
import torch
from matplotlib.figure import Figure

from bood_tasks.reporting.figures import distributions, figures, gallery, losses, mosaics, style
from bood_tasks.reporting.figures.album import Album
from bood_tasks.reporting.figures.class_names import ClassNames
from bood_tasks.synthesis.crossing import walk
from bood_tasks.synthesis.stepping import Stepping
from tests import fake_artifacts

CLASSES = ["cat", "big dog"]
SIZE, COLUMNS = 8, 3
FEATURES = np.random.default_rng(2).normal(size=(10, 4)).astype("float32")
FEATURES[2:4] = [1, 0.9, 0.2, 0], [0.9, 1, 0, 0.2]  # each a step from the other class's side
STEPPING = {"step_size": 0.2, "max_steps": 9, "temperature": 0.5, "feature_space": "raw"}
ROWS = [
    {"method": "ce", "variant": "", "seed": 0, "score": "msp"},
    {"method": "ce", "variant": "", "seed": 0, "score": "energy"},
    {"method": "bood", "variant": "", "seed": 0, "score": "energy"},
    {"method": "bood", "variant": "", "seed": 1, "score": "energy"},
]
TRAINED = [{"method": "ce", "variant": ""}, {"method": "bood", "variant": ""}]
SETTINGS = {"contact_columns": COLUMNS}
OF_LOSSES = {"rows": TRAINED, "seed": 0}
TESTED = {"rows": ROWS, "test": ["near", "far"], "id": "pets"}


def pictures(seed, count):
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def shard(root, start, stop, seed):
    """Images of both classes; items run backwards, so that order must come from `item`."""
    items = np.arange(start, stop)[::-1]
    return fake_artifacts.make(
        root,
        "images",
        arrays={
            "images": pictures(seed, 2 * len(items)),
            "labels": np.repeat([0, 1], len(items)),
            "item": np.tile(items, 2),
        },
        settings={"start": start, "seed": seed},
    )


def inputs(root):
    """Everything the stage reads, as small as it may be."""
    rng = np.random.default_rng(5)

    def scores(place):
        arrays = {
            f"{name}/test/score": rng.normal(mean, 1, 60).astype("float32")
            for name, mean in (("pets", 3), ("near", 2), ("far", 0))
        }
        return fake_artifacts.make(root, "scores", arrays=arrays, settings={"place": place})

    def detector(place):
        terms = "loss" if TRAINED[place]["method"] == "ce" else "loss,ce,ood"
        lines = [f"{i},{i / 4}{f',{1 / i:.3f}' * (terms.count(',') + 1)},0.1" for i in range(1, 9)]
        text = "\n".join([f"step,epoch,{terms},lr", *lines, ""])
        return fake_artifacts.make(
            root, "detector", files={"curve.csv": text}, settings={"place": place}
        )

    ends = [walk(torch.from_numpy(FEATURES[row : row + 1]), label, torch.eye(2, 4),
                 Stepping(**STEPPING), count=3)[-1].numpy()
            for label, row in enumerate((2, 3))]  # fmt: skip
    counts = {name: 2 for name in CLASSES}
    steps = np.array([0, 1, 1, 2, 3, 0, 2, 2, 2, 100], "int32")
    return {
        "dataset": fake_artifacts.make(
            root, "dataset",
            arrays={"train/images": pictures(1, 10), "train/labels": np.arange(10) % 2},
        ),
        "anchors": fake_artifacts.make(
            root, "anchors", arrays={"anchors": np.eye(2, 4, dtype="float32")},
            files={"anchors.json": {"classes": CLASSES, "words": ["cat", "bag"]}},
        ),
        "ood_images": [shard(root, 0, 2, seed=2), shard(root, 2, 5, seed=3)],
        "id_images": [shard(root, 0, COLUMNS, seed=4)],
        "dreamood_images": [shard(root, 0, 4, seed=7)],
        "trajectory": fake_artifacts.make(
            root, "trajectory",
            arrays={
                "images": pictures(6, 5),
                "probabilities": np.array([[9, 1], [8, 2], [6, 4], [4, 6], [1, 9]], "float32") / 10,
                "predictions": np.array([0, 0, 0, 1, 1]),
            },
            files={"trajectory.json": {
                "class": "cat", "row": 7, "crossed_at": 3, "step_size": 0.015}},
        ),
        "strips": fake_artifacts.make(
            root, "strips",
            arrays={"by_extra_steps": pictures(8, 6).reshape(3, 2, SIZE, SIZE, 3),
                    "by_step_size": pictures(9, 4).reshape(2, 2, SIZE, SIZE, 3)},
            files={"strips.json": {
                "classes": CLASSES, "rows": [1, 2], "max_steps": 100,
                "extra_steps": {"values": [0, 1, 2], "default": 2, "crossed_at": [1, 2]},
                "step_size": {"values": [0.01, 0.1], "default": 0.1,
                              "crossed_at": [[3, None], [1, 2]]}}},
        ),
        "features": fake_artifacts.make(
            root, "features", arrays={"labels": np.arange(10) % 2, "features": FEATURES}
        ),
        "distances": fake_artifacts.make(
            root, "distances", arrays={"steps": steps, "crossed": steps < 100, "exact": steps >= 0}
        ),
        "ood_features": fake_artifacts.make(
            root, "ood_features",
            arrays={"labels": np.array([0, 1]), "rows": np.array([2, 3]), "steps": np.int32([1, 1]),
                    "vectors": np.stack(ends)},
            settings={"perturb": "adversarial", "extra_steps": 2, **STEPPING},
            files={"ood_features.json": {
                "selected": counts, "cut": counts, "tie_mass": {name: 3 for name in CLASSES},
                "dropped_misclassified": {"cat": 1, "big dog": 1},
                "skipped_never_crossed": {"cat": 0, "big dog": 0}}},
        ),
        "scores": [scores(place) for place in range(len(ROWS))],
        "pixels": fake_artifacts.make(
            root, "pixel_statistics",
            files={"pixel_statistics.json": {
                name: {"statistic": "std", "auroc": 0.75} for name in ("near", "far")}},
        ),
        "encoder": fake_artifacts.make(
            root, "encoder", files={"curve.csv": "step,epoch,loss,lr\n1,0.5,2,0.1\n2,1.0,1,0.1\n"}
        ),
        "detectors": [detector(place) for place in range(len(TRAINED))],
    }  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("figures")
    given = inputs(root)
    return given, fake_artifacts.run_stage(root, gallery.main, "gallery", SETTINGS, given)


def test_every_caption_of_a_class_names_the_word_that_drew_it(drawn):
    """`big dog` is drawn by the word `bag`; figure 2 shows a cat."""
    figures = {item["file"]: item for item in drawn[1].json("captions.json")["figures"]}
    told = {name for name, item in figures.items() if "big dog, drawn as “bag”" in item["caption"]}
    assert figures.keys() - told == {"figure2_trajectory.png", "contact_cat.png"}
    assert figures["contact_big_dog.png"]["title"] == "Contact sheet: big dog, drawn as “bag”"
    assert figures["contact_cat.png"]["title"] == "Contact sheet: cat"


def test_a_caption_tells_of_a_few_of_many_other_words():
    classes = [f"class{k}" for k in range(100)]
    names = ClassNames(classes, [f"word{k}" for k in range(99)] + ["class99"])
    told = names.told(classes)
    assert told.startswith(" Mind: class0, drawn as “word0”; class1")
    assert told.endswith("; and 87 more.")
    assert names.told(["class99"]) == ""


def test_figure_2_says_that_picture_and_probability_are_of_two_networks(drawn):
    figures = {item["file"]: item for item in drawn[1].json("captions.json")["figures"]}
    assert "come from two networks" in figures["figure2_trajectory.png"]["caption"]


def pixels(path):
    return np.asarray(PIL.Image.open(path).convert("RGB"))


def holds(sheet, image):
    """Whether `image`, enlarged by a whole factor, lies somewhere in the sheet."""
    side = image.shape[0]
    for top, left in np.argwhere((sheet == image[0, 0]).all(-1)):
        for factor in (12, 8):
            part = sheet[top : top + factor * side : factor, left : left + factor * side : factor]
            if part.shape == image.shape and (part == image).all():
                return True
    return False


@pytest.fixture(scope="module")
def from_scores(drawn, tmp_path_factory):
    given = {role: drawn[0][role] for role in ("scores", "pixels")}
    root = tmp_path_factory.mktemp("scores")
    return given, fake_artifacts.run_stage(root, figures.main, "figures", TESTED, given)


@pytest.fixture(scope="module")
def of_losses(drawn, tmp_path_factory):
    given = {role: drawn[0][role] for role in ("encoder", "detectors")}
    root = tmp_path_factory.mktemp("losses")
    return given, fake_artifacts.run_stage(root, losses.main, "losses", OF_LOSSES, given)


def test_losses_without_an_encoder_show_the_detectors_alone(of_losses, tmp_path):
    given = {"detectors": of_losses[0]["detectors"]}
    alone = fake_artifacts.run_stage(tmp_path, losses.main, "losses", OF_LOSSES, given)
    whole, part = ((x.folder / "losses.svg").read_text() for x in (of_losses[1], alone))
    assert "encoder: cross-entropy" in whole
    assert "encoder" not in part
    assert "detector: OOD term" in part


@pytest.mark.parametrize(
    ("which", "mosaics", "drawings"),
    [
        (
            "drawn",
            ["figure1_id_and_ood", "figure2_trajectory", "figure3_extra_steps",
             "figure3_step_size", "figure7_ood", "figure8_dreamood_and_bood", "contact_cat",
             "contact_big_dog"],
            ["figure4_boundary", "figure4_all_classes", "distances"],
        ),
        ("of_losses", [], ["losses"]),
        (
            "from_scores",
            [],
            ["scores_near", "scores_far", "roc", "pixel_control"],
        ),
    ],
)  # fmt: skip
def test_figures_are_all_there_with_captions(request, which, mosaics, drawings):
    _, made = request.getfixturevalue(which)
    captions = made.json("captions.json")["figures"]
    stems = mosaics + drawings
    assert sorted(item["file"] for item in captions) == sorted(f"{stem}.png" for stem in stems)
    assert all(item["title"] and item["caption"] for item in captions)
    vectors = {name for name in made.files if name.endswith(".svg")}
    assert vectors == {f"{x}.svg" for x in stems if not x.startswith("contact_")}
    for stem in stems:
        image = pixels(made.folder / f"{stem}.png")
        assert min(image.shape[:2]) > 100
        assert len(np.unique(image[..., 0])) > 10


def test_contact_sheet_holds_the_pictures_pixel_for_pixel(drawn):
    given, made = drawn
    sheet = pixels(made.folder / "contact_big_dog.png")
    early, late = (part["images"][:] for part in given["ood_images"])
    assert holds(sheet, given["dataset"]["train/images"][1])
    assert holds(sheet, given["id_images"][0]["images"][3])
    assert holds(sheet, early[2])
    assert holds(sheet, late[5])
    assert not holds(sheet, early[0])  # a cat


def test_figure_1_begins_with_the_first_items(drawn):
    given, made = drawn
    sheet = pixels(made.folder / "figure1_id_and_ood.png")
    assert holds(sheet, given["id_images"][0]["images"][COLUMNS - 1])  # item 0 is stored last
    assert not holds(sheet, given["id_images"][0]["images"][0])


def test_figure_8_holds_both_methods_and_needs_a_row_of_dreamood(drawn, tmp_path):
    given, made = drawn
    sheet = pixels(made.folder / "figure8_dreamood_and_bood.png")
    assert holds(sheet, given["dreamood_images"][0]["images"][3])  # item 0 of the cats
    assert holds(sheet, given["ood_images"][0]["images"][1])
    without = {role: item for role, item in given.items() if role != "dreamood_images"}
    again = fake_artifacts.run_stage(tmp_path, gallery.main, "gallery", SETTINGS, without)
    lost = {f"figure8_dreamood_and_bood.{kind}" for kind in ("png", "svg")}
    assert set(made.files) - set(again.files) == lost


def test_the_filter_s_sheet_holds_a_kept_and_a_dropped_picture_and_the_counts(drawn, tmp_path):
    """Of five items of each class, those of the first shard are dropped."""
    given, dropped = drawn[0], drawn[0]["ood_images"][0]["labels"].shape[0]
    many = sum(shard["labels"].shape[0] for shard in given["ood_images"])
    kept = np.arange(dropped, many)
    each = {what: dict.fromkeys(CLASSES, count) for what, count in (("kept", 3), ("dropped", 2))}
    made = fake_artifacts.make(
        tmp_path, "outlier_filter", arrays={"rows": kept},
        files={"outlier_filter.json": each | {"max_confidence": 0.9}},
    )  # fmt: skip
    again = fake_artifacts.run_stage(
        tmp_path, gallery.main, "gallery", SETTINGS, given | {"outlier_filter": made}
    )
    sheet = pixels(again.folder / "outlier_filter.png")
    for shard in given["ood_images"]:
        assert holds(sheet, shard["images"][0])
    (told,) = [each["caption"] for each in again.json("captions.json")["figures"]
               if each["file"] == "outlier_filter.png"]  # fmt: skip
    assert "above 0.9. Dropped: 4 of 10; cat 2 of 5, big dog 2 of 5." in told


def test_captions_tell_of_blank_places_and_of_first_pictures(drawn):
    _, made = drawn
    told = {item["file"]: item["caption"] for item in made.json("captions.json")["figures"]}
    assert "Blank: not crossed within 100 steps." in told["figure3_step_size.png"]
    assert "Blank" not in told["figure3_extra_steps.png"]
    for name in ("figure1_id_and_ood", "figure7_ood", "figure8_dreamood_and_bood"):
        assert "by index, not chosen." in told[f"{name}.png"]


def test_figures_are_the_same_bytes_in_a_second_run(drawn, from_scores, tmp_path):
    given, made = drawn
    again = fake_artifacts.run_stage(tmp_path, gallery.main, "gallery", SETTINGS, given)
    assert again.files == made.files
    given, made = from_scores
    again = fake_artifacts.run_stage(tmp_path, figures.main, "figures", TESTED, given)
    assert again.files == made.files


def test_warnings_count_ties_and_left_out_rows(drawn):
    _, made = drawn
    figures = made.json("captions.json")["figures"]
    warned = {item["file"]: item["warnings"] for item in figures if "warnings" in item}
    assert list(warned) == ["distances.png"]
    ties, dropped = warned["distances.png"]
    assert ties.startswith("6 features tie exactly at the selection cut, of 4 selected")
    assert dropped == "2 features were wrongly classified from the start and left out."


def test_warnings_name_classes_without_outliers():
    facts = {"selected": {"cat": 0, "dog": 2}, "tie_mass": {}, "dropped_misclassified": {},
             "skipped_never_crossed": {"dog": 3}}  # fmt: skip
    skipped, empty = gallery.find_warnings(facts)
    assert skipped.startswith("3 features never crossed")
    assert empty == "No outlier features at all for cat."


@pytest.mark.parametrize(("count", "crossed_at", "shown"), [(9, 6, 8), (63, 60, 8), (3, 0, 8),
                                                            (2, 1, 8), (20, 1, 4)])  # fmt: skip
def test_picked_steps_hold_start_crossing_and_end(count, crossed_at, shown):
    steps = mosaics.pick_steps(count, crossed_at, shown)
    assert {0, crossed_at, count - 1} <= set(steps)
    assert steps == sorted(set(steps))
    assert len(steps) <= shown


def test_a_picture_larger_than_the_tile_keeps_its_pixels():
    image = np.random.default_rng(0).integers(0, 256, (1, 120, 120, 3), dtype=np.uint8)
    with style.house_style():
        figure = mosaics.contact_sheet({"real": image}, title="t", columns=1)
    (placed,) = figure.images
    assert (placed.get_array()[30:150, 110:230] == image[0]).all()


def test_distances_of_many_classes_share_one_panel():
    names = [f"class{i}" for i in range(distributions.MOST_PANELS_OF_CLASSES + 1)]
    steps = np.arange(26) % 5 + 1
    figure = distributions.distances(
        steps, np.ones(26, bool), np.ones(26, bool), np.arange(26) % 13, names,
        taken={}, cut=dict.fromkeys(names, 2), tied={}, left_out={},
    )  # fmt: skip
    assert len(figure.axes) == 1


def test_distances_draw_what_was_counted_and_tell_of_the_others(drawn, tmp_path):
    """Of 10 features two are known to lie beyond the cut, and no more."""
    given = drawn[0]
    steps, crossed = (given["distances"][name][:] for name in ("steps", "crossed"))
    counted = fake_artifacts.make(
        tmp_path, "distances",
        arrays={"steps": steps, "crossed": crossed, "exact": np.arange(10) < 8},
    )  # fmt: skip
    labels = given["features"]["labels"][:]
    names = dict.fromkeys(CLASSES, 2)
    figure = distributions.distances(
        steps, crossed, counted["exact"][:], labels, CLASSES, taken=names, cut=names, tied=names,
        left_out=names,
    )  # fmt: skip
    titles = [ax.get_title(loc="left").split("\n") for ax in figure.axes]
    assert titles[0] == ["cat: 2 of 5 taken", "cut at d = 2, 2 tie there",
                         "2 at d = 0 left out, 1 not counted"]  # fmt: skip
    bars = sum(patch.get_height() for ax in figure.axes for patch in ax.patches)
    assert bars == 8
    made = fake_artifacts.run_stage(
        tmp_path, gallery.main, "gallery", SETTINGS, given | {"distances": counted}
    )
    told = {item["file"]: item["caption"] for item in made.json("captions.json")["figures"]}
    assert "2 features beyond the cut were not counted" in told["distances.png"]
    plain = {item["file"]: item["caption"] for item in drawn[1].json("captions.json")["figures"]}
    assert "the most steps of any feature that was taken" in plain["distances.png"]
    assert "not counted" not in plain["distances.png"]


@pytest.mark.parametrize("count", [2, 8, 100, 200])
def test_no_two_of_the_classes_drawn_together_look_alike(count):
    """Figure 4 draws as many as there are markers; rows of the table may be a few dozen."""
    looks = [style.class_style(index) for index in range(min(count, 70))]
    assert len(set(looks)) == len(looks)
    drawn = looks[: len(style.MARKERS)]
    assert len({(color, filled) for color, _, filled in drawn}) == len(drawn)  # without the marker


def test_detectors_show_every_score_and_many_scores_have_figures_of_their_own():
    def rows(method, *scores, seed=0):
        return [{"method": method, "variant": "", "seed": seed, "score": x} for x in scores]

    given = [
        *rows("ce", "msp", "energy", "knn"), *rows("vos", "vos", "energy"), *rows("mine", "knn"),
        *rows("ce", "msp", "energy", "knn", seed=1),
    ]  # fmt: skip
    assert figures.groups(given) == {"": [1, 3, 4, 5], "ce": [0, 1, 2]}


def test_names_that_become_one_keep_their_own_files(tmp_path):
    album = Album(tmp_path)
    for name in ("contact__", "contact__", "contact_A", "contact_a"):
        album.add(name, Figure(figsize=(1, 1)), name, "", vector=False)
    files = [item["file"] for item in album.captions]
    assert files == ["contact__.png", "contact__-2.png", "contact_A.png", "contact_a-2.png"]
    assert len(list(tmp_path.glob("*.png"))) == 4
