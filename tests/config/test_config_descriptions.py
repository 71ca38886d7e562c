"""Every setting is described so that it can be read alone."""

import pytest

from bood_tasks.config.root import Config

SCHEMA = Config.model_json_schema()
SECTIONS = {"Config": SCHEMA, **SCHEMA["$defs"]}
SETTINGS = {
    f"{section}.{name}": item
    for section, content in SECTIONS.items()
    for name, item in content["properties"].items()
    if "$ref" not in item  # a section, described below
}


def whole_sentence(text: str) -> bool:
    """Whether a text has some words, begins as a sentence does and ends as one."""
    return len(text.split()) >= 3 and not text[0].islower() and text[-1] == "."


def test_the_settings_of_all_sections_are_seen():
    assert {"NpzDataset.file", "Detector.phi", "Encoder.lr", "Config.rows"} <= set(SETTINGS)
    assert len(SETTINGS) > 250


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_has_a_description(name):
    text = SETTINGS[name].get("description", "")
    assert whole_sentence(text), f"{name} must have a description, a sentence; got {text!r}"


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_has_a_description(name):
    text = SECTIONS[name].get("description", "")
    assert whole_sentence(text), f"{name} must have a docstring, a sentence; got {text!r}"


def test_where_null_is_allowed_the_description_says_what_it_means():
    nullable = {
        name for name, item in SETTINGS.items()
        if {"type": "null"} in item.get("anyOf", ())
    }  # fmt: skip
    assert nullable
    for name in nullable:
        assert "null = " in SETTINGS[name]["description"], name
