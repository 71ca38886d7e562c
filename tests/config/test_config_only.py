"""A preset says what it has: lists choose among the rows, variants and sweeps that are defined."""

import pytest
import yaml

from bood_tasks.config.fields import merged
from bood_tasks.config.load import ConfigError, effective_config, left_out, load
from bood_tasks.plan import plan as planning
from tests.config.test_config import ROOT

DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"seeds": [0]}
TEXTS = {
    "datasets": {
        "verses": {"kind": "lines", "file": "embedded:kjv_verses.txt.gz"},
        "glosses": {
            "kind": "tsv", "file": "embedded:wordnet_glosses.tsv.gz", "text": "definition",
            "label": "lexicographer_file", "classes": {"food": "noun.food", "body": "noun.body"},
        },
    },
    "text": {
        "id": "glosses", "test": ["verses"], "detector": {"network": "gru"},
        "rows": {"ce": {"method": "ce"}, "oe": {"method": "oe", "outliers": "texts"}},
        "ablations": {"row": "oe", "sweeps": {"texts.temperature": [1, 2], "texts.count": [50]}},
    },
}  # fmt: skip


def config(only: dict, *overlays: dict):
    raw = merged(DEFAULT, {"only": only})
    for overlay in overlays:
        raw = merged(raw, overlay)
    return load(raw)


def test_a_list_chooses_rows_and_gives_their_order():
    assert list(config({"rows": ["bood", "ce"]}).rows) == ["bood", "ce"]
    assert list(config({}).rows) == list(DEFAULT["rows"])
    assert list(config({"rows": None}).rows) == list(DEFAULT["rows"])


def test_lists_choose_variants_and_sweeps():
    found = config({"variants": ["centroid"], "sweeps": []}).ablations
    assert (list(found.variants), found.sweeps) == (["centroid"], {})
    found = config({"variants": [], "sweeps": ["detector.ood_weight"]}).ablations
    assert (found.variants, list(found.sweeps)) == ({}, ["detector.ood_weight"])
    assert list(config({"variants": []}).ablations.sweeps) == list(DEFAULT["ablations"]["sweeps"])


def test_no_variants_and_no_sweeps_are_no_ablations():
    assert config({"variants": [], "sweeps": []}).ablations is None


def test_a_later_overlay_replaces_the_list(tmp_path):
    names = ("smoke", "paper-smoke", "goe-smoke")
    smoke, paper, goe = (ROOT / f"workflow/presets/{name}.yaml" for name in names)
    base = ROOT / "config.yaml"
    assert list(effective_config([base, smoke]).rows) == ["ce", "bood", "noise"]
    assert list(effective_config([base, smoke, paper]).rows) == list(DEFAULT["rows"])
    rows = ["ce", "noise", "generated", "biased", "mixed"]
    assert list(effective_config([base, smoke, goe]).rows) == rows
    assert list(effective_config([base, smoke, paper, goe]).rows) == rows


def test_texts_choose_for_themselves():
    chosen = {"text": {"only": {"rows": ["oe"], "sweeps": ["texts.temperature"]}}}
    texts = config({"rows": ["bood"], "variants": [], "sweeps": []}, TEXTS, chosen).of_texts()
    assert list(texts.rows) == ["oe"]
    assert list(texts.ablations.sweeps) == ["texts.temperature"]


def test_a_choice_enters_no_identity():
    """The same rows, written down alone or chosen among more, are the same artifacts."""
    rows = {name: DEFAULT["rows"][name] for name in ("ce", "noise")}
    alone = load(DEFAULT | {"rows": rows, "ablations": None})
    chosen = config({"rows": ["ce", "noise"], "variants": [], "sweeps": []})
    assert set(planning.make(alone).specs) == set(planning.make(chosen).specs)
    with_texts = [
        load(merged(DEFAULT | {"rows": rows, "ablations": None}, TEXTS | {"text": text}))
        for text in (TEXTS["text"], TEXTS["text"] | {"only": {"rows": ["ce", "oe"]}})
    ]
    one, two = (set(planning.make(each).specs) for each in with_texts)
    assert one == two


def test_what_is_left_out_need_not_fit():
    """A row of VOS with a queue that no class fills is no mistake of a run without it."""
    config({"rows": ["ce", "bood"]}, {"detector": {"vos": {"queue": 10**6}}})


@pytest.mark.parametrize(
    ("only", "overlay", "message"),
    [
        ({"rows": ["ce", "baod"]}, {}, r"only\.rows must name what rows defines, got 'baod'; did"),
        ({"variants": ["gauss"]}, {}, r"only\.variants must name .* did you mean 'gaussian'\?"),
        ({"sweeps": ["detector.lr"]}, {}, r"only\.sweeps must name what ablations\.sweeps defines"),
        ({"sweeps": ["detector.lr"]}, {"ablations": None}, r"only\.sweeps .* known: none"),
        ({"rows": []}, {}, r"only\.rows must have at least 1 item"),
        ({"rows": ["ce", "ce"]}, {}, r"only\.rows must hold each name once, got 'ce' 2 times"),
        ({"row": ["ce"]}, {}, r"only\.row is no setting; did you mean 'rows'\?"),
        (
            {"rows": ["ce"]},
            {},
            r"only\.rows must hold bood, which ablations\.row names, got \['ce'",
        ),
        (
            {"rows": ["bood"]},
            {"rows": {"bood": {"set": {"detector": {"start": "ce"}}}}},
            r"only\.rows must hold ce, which detector\.start of row bood names, got \['bood'\]",
        ),
        (
            {"rows": ["bood"], "variants": [], "sweeps": []},
            {"detector": {"start": "ce"}},
            r"only\.rows must hold ce, which detector\.start of row bood names",
        ),
        ({}, {"rows": {"gan": None}}, r"rows\.gan must be a valid dictionary"),
        (
            {},
            TEXTS | {"text": TEXTS["text"] | {"only": {"rows": ["oa"]}}},
            r"text\.only\.rows must",
        ),
    ],
)
def test_a_choice_that_cannot_be_is_named(only, overlay, message):
    with pytest.raises(ConfigError, match=message):
        config(only, overlay)


def test_what_lists_leave_out_is_said():
    raw = merged(DEFAULT, {"only": {"rows": ["ce", "bood"], "variants": []}})
    rows, variants = left_out(raw, load(raw))
    assert rows == "only.rows leaves out godin, gan, vos, npos, dreamood, noise"
    assert variants.startswith("only.variants leaves out boundary-unperturbed, ")
    assert left_out(DEFAULT, load(DEFAULT)) == []
    texts = merged(merged(DEFAULT, TEXTS), {"text": {"only": {"rows": ["oe"]}}})
    assert left_out(texts, load(texts)) == ["text.only.rows leaves out ce"]
