"""What YAML reads otherwise than people write it: refused, with the line or the cure."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bood_tasks.config.load import ConfigError, laid_over, load, require_bounded, require_plain

ROOT = Path(__file__).parents[2]
LAUGHS = "a0: &a0 [lol, lol]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12)
)


def read(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    return laid_over(tmp_path / "c.yaml", [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: [0]\nid: x\nseeds: [1, 2]\n", "has seeds twice, in lines 1 and 3; keep one"),
        ("rows:\n  a: {method: ce}\n  a: {method: oe}\n", "has a twice, in lines 2 and 3"),
        ("x: [{1: a, 1.0: b}]\n", r"has 1.0 twice, in lines 1 and 1"),
        ('{"a": 1, "a": 2}', "has a twice"),
        (LAUGHS, "must hold at most 200,000 values, got"),
        ("a: &a {b: *a}\n", "holds itself"),
        ("no: 1\n", "reads no, off and false so: put the name in quotes"),
    ],
)
def test_yaml_that_means_something_else_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_merged_keys_may_be_overruled(tmp_path):
    text = "base: &b {x: 1, y: 2}\nrow: {<<: *b, x: 3}\nother: {<<: *b, x: 4}\n"
    assert read(tmp_path, text)["row"] == {"x": 3, "y": 2}


@given(st.dictionaries(st.text("abc", min_size=1, max_size=2), st.integers(), min_size=1))
def test_one_key_more_is_found_wherever_it_stands(tmp_path_factory, mapping):
    path = tmp_path_factory.mktemp("y") / "c.yaml"
    text = yaml.safe_dump({"top": mapping})
    path.write_text(text)
    require_plain([path])
    path.write_text(f"{text}  {next(iter(mapping))!r}: 1\n")
    with pytest.raises(ValueError, match="twice"):
        require_plain([path])


def test_deep_laughter_is_counted_not_written_out():
    value = ["lol"]
    for _ in range(200):
        value = [value] * 9
    with pytest.raises(ValueError, match="more than 1,000,000,000,000,000"):
        require_bounded(value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": {False: {"method": "ce"}}}, "rows has the name False; YAML reads no, off"),
        ({"id": False}, "id must be a valid string, got False; YAML reads no, off and false so"),
        ({"id": 7}, "id must be a valid string, got 7; put the name in quotes"),
        ({"datasets": {"average": {"kind": "digits"}}}, "datasets.average must have another name"),
        ({"rows": {"=1+1": {"method": "ce"}}}, "rows.=1.1.*must match pattern"),
        ({"rows": {"a": {"method": "ce", "variant": "@x"}}}, "rows.a.variant must not begin"),
        ({"images": {"per_class": 10**10, "shard": 1}}, "images.shard must be at least"),
    ],
)
def test_names_and_sizes_that_a_late_job_would_refuse(change, message):
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    for key, value in change.items():
        raw[key] = {**raw[key], **value} if isinstance(value, dict) else value
    with pytest.raises(ConfigError, match=message):
        load(raw)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n\tb: 2\n", r"c.yaml is no YAML: line 2, column 1: .*takes no tabs$"),
        ("a: [1\nb: 2\n", r"c.yaml is no YAML: line 2, .* flow sequence that began in line 1$"),
        ("a: 'x\n", r"c.yaml is no YAML: line 2, .* unexpected end of stream"),
    ],
)
def test_what_is_no_yaml_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def mistaken(tmp_path, *texts, given=()):
    files = [tmp_path / f"{n}.yaml" for n in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(
            laid_over(ROOT / "config.yaml", files),
            files=[ROOT / "config.yaml", *files],
            given=given,
        )
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_a_refused_setting_is_named_with_the_file_that_counts_and_its_line(tmp_path):
    first = "seeds: [0]\ndetector:\n  epoch: 4\n"
    second = "rows:\n  bood: {method: bood, outliers: {images: -1}}\ndetector:\n  lr: -2\n"
    said = mistaken(tmp_path, first, second).splitlines()
    assert any("detector.epoch is no setting" in line and line.endswith(" (0.yaml, line 3)")
               for line in said)  # fmt: skip
    assert any("detector.lr must" in line and line.endswith(" (1.yaml, line 4)") for line in said)
    assert any("rows.bood" in line and line.endswith(" (1.yaml, line 2)") for line in said)


def test_of_a_setting_in_two_files_the_later_one_is_named(tmp_path):
    assert "(1.yaml, line 1)" in mistaken(tmp_path, "seeds: [x]\n", "seeds: [y]\n")


def test_a_value_where_a_list_or_a_mapping_belongs_is_shown_as_one(tmp_path):
    said = mistaken(tmp_path, "seeds: 3\nrows: [ce]\n")
    assert "seeds must be a valid list, got 3; write [3] (0.yaml, line 1)" in said
    assert "got ['ce']; write a mapping, `name: value` for each of them (0.yaml, line 2)" in said


def test_a_setting_of_config_yaml_is_named_there(tmp_path):
    said = mistaken(tmp_path, "id: cats\n", "datasets:\n  mine: {kind: foldr}\n")
    assert "datasets.mine.kind must be a known one, got 'foldr'; did you mean 'folder'?" in said
    assert "(1.yaml, line 2)" in said


def test_a_value_of_the_command_line_is_of_no_file(tmp_path):
    assert mistaken(tmp_path, "seeds: [x]\n", given=["seeds"]).endswith("(--config)")
