"""Identity: one meaning, one digest."""

import hashlib
import json
import math
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bood_tasks.artifacts import spec
from bood_tasks.artifacts.spec import Spec, canonical, digest_of, readable, to_json

FINITE = {"allow_nan": False, "allow_infinity": False}
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(**FINITE),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _versions(monkeypatch):
    """Stages of these tests need no module."""
    monkeypatch.setattr(spec, "version_of", {"a": 1, "b": 2, "c": 1}.__getitem__)


def made(stage="b", settings=None, inputs=None, name="x", source=""):
    return Spec(stage, name, {"k": 1} if settings is None else settings, inputs or {}, source)


def test_key_order_changes_no_digest():
    first = {"a": 1, "b": {"c": [1, 2], "d": None}}
    second = {"b": {"d": None, "c": [1, 2]}, "a": 1}
    assert digest_of(first) == digest_of(second)


def test_whole_float_is_its_integer():
    assert digest_of({"beta": 2.0}) == digest_of({"beta": 2})
    assert digest_of({"beta": -0.0}) == digest_of({"beta": 0})


@pytest.mark.parametrize(
    ("one", "other"),
    [(2, 2.5), (1, True), (0, False), (0, None), ("2", 2), ([1, 2], [2, 1]), ([], {})],
)
def test_different_meanings_have_different_digests(one, other):
    assert digest_of({"k": one}) != digest_of({"k": other})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match=f"finite number, got {value}"):
        digest_of({"k": [value]})


def test_value_that_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match=r"plain JSON, got set"):
        canonical({"k": {1}})


@given(PLAIN)
def test_canonical_json_survives_a_round_trip(value):
    assert to_json(json.loads(to_json(value))) == to_json(value)


def test_digest_is_the_documented_hash():
    expected = hashlib.sha256(b'{"a":"\\u00e9","b":2}').hexdigest()[:16]
    assert digest_of({"b": 2.0, "a": "é"}) == expected


def test_digest_depends_on_stage_version_settings_and_inputs(monkeypatch):
    base = made()
    digests = {
        base.digest,
        made(stage="a").digest,
        made(settings={"k": 2}).digest,
        made(inputs={"r": made(stage="a")}).digest,
        made(inputs={"r": made(stage="a", settings={"k": 2})}).digest,
        made(inputs={"q": made(stage="a")}).digest,
    }
    monkeypatch.setattr(spec, "version_of", {"b": 3}.__getitem__)
    digests.add(made().digest)
    assert len(digests) == 7


def test_name_and_source_stay_out_of_the_digest():
    assert made(name="one", source="/here").digest == made(name="two", source="/there").digest


def test_order_of_listed_inputs_is_part_of_the_digest():
    one, two = made(stage="a"), made(stage="c")
    assert made(inputs={"r": (one, two)}).digest != made(inputs={"r": (two, one)}).digest


def test_manifest_lies_under_stage_name_and_digest():
    item = made(name="seed0")
    assert item.manifest == f"artifacts/b/seed0/{item.digest}/manifest.json"


def test_upstream_lists_single_and_many_inputs():
    one, two, three = made(stage="a"), made(stage="c"), made(stage="a", settings={})
    assert made(inputs={"r": one, "s": (two, three)}).upstream() == [one, two, three]


def test_version_is_read_without_importing_the_stage():
    """The Snakefile asks for every stage's version each time it is parsed."""
    code = (
        "import sys; from bood_tasks.artifacts.spec import version_of; print(version_of('images'));"
    )
    code += "sys.exit('torch' in sys.modules or 'bood_tasks.synthesis.images' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0
    assert int(answer.stdout) >= 1


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("resnet18", "", None, "seed0"), "resnet18-seed0"),
        (("alpha0.015",), "alpha0.015"),
        (("../../etc/passwd",), "_.._etc_passwd"),
        (("a b; rm -rf $HOME `x`",), "a_b_rm_-rf_HOME_x_"),
        (("..",), "unnamed"),
        (("-rf",), "rf"),
    ],
)
def test_readable_names_are_safe_path_components(parts, expected):
    assert readable(*parts) == expected


@given(st.lists(st.text()))
def test_readable_never_leaves_its_folder(parts):
    assert re.fullmatch(r"[A-Za-z0-9+=_][A-Za-z0-9.+=_-]{0,79}", readable(*parts))
