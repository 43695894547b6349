"""What is written about the configuration is true: example, schema and reference."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from node.config.condition import Condition, parse_condition
from node.config.document import EXAMPLE, render_reference
from node.config.fields import HEADER_FIELDS
from node.config.load import check_file, json_schema, load_config
from node.config.model import Config
from node.config.problem import Severity
from node.store.header import KEYWORDS

ROOT = Path(__file__).parents[2]
EXAMPLE_FILE = ROOT / "deploy" / "wetread.example.yaml"


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The section and all sections below it, conditions left out."""
    yield model
    for field in model.model_fields.values():
        todo = [field.annotation]
        while todo:
            kind = todo.pop()
            todo += typing.get_args(kind)
            if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not Condition:
                yield from sections(kind)


def test_the_example_file_is_good():
    config, problems = check_file(EXAMPLE_FILE)

    assert [p for p in problems if p.severity is Severity.ERROR] == []
    assert config is not None
    models = {model for rule in config.rules for model in rule.run}
    assert models == {"cxr-lungs", "cxr-view", "ct-lungs"}


def test_the_example_file_shows_every_key():
    text = EXAMPLE_FILE.read_text(encoding="utf-8")
    keys = {key for section in sections(Config) for key in section.model_fields}

    missing = {key for key in keys if not re.search(rf"(?m)^[ #-]*{key}:|[{{ ]{key}:", text)}

    assert missing == set()


def test_the_example_file_shows_the_defaults():
    config = load_config(EXAMPLE_FILE)

    for name in ("data_dir", "database", "models_dir", "work", "results", "web", "log"):
        assert getattr(config, name) == Config.model_fields[name].default
    shown = config.receive.model_copy(update={"accept_from": ()})
    assert shown == Config.model_fields["receive"].default


def test_the_reference_page_is_current():
    page = ROOT / "docs" / "reference" / "configuration.md"

    assert page.read_text(encoding="utf-8") == render_reference(), (
        "docs/reference/configuration.md is out of date; "
        "run: wetread schema --markdown > docs/reference/configuration.md"
    )


def test_the_reference_page_describes_every_key_of_every_section():
    page = render_reference()
    for section in sections(Config):
        for key, field in section.model_fields.items():
            assert f"| `{key}` |" in page
            assert field.description, f"{section.__name__}.{key} has no description"


def test_the_example_of_the_reference_page_is_good(tmp_path):
    path = tmp_path / "w.yaml"
    path.write_text(EXAMPLE)

    assert load_config(path).rules[0].name == "CT chest"


def test_the_schema_is_valid_and_accepts_the_example():
    schema = json_schema()

    Draft202012Validator.check_schema(schema)
    assert schema["title"] == "Wetread configuration"
    assert set(schema["$defs"]["Condition"]["properties"]) == {
        "not",
        "contains",
        "matches",
        "min",
        "max",
        "present",
    }
    example = yaml.safe_load(EXAMPLE_FILE.read_text(encoding="utf-8"))
    assert list(Draft202012Validator(schema).iter_errors(example)) == []


@pytest.mark.parametrize(
    "rule",
    [
        {"prot": 1},
        {"when": {"Modalty": "CT"}},
        {"when": {"slices": {"mim": 1}}},
        {"run": []},
        {"send_to": "pacs"},
    ],
)
def test_the_schema_refuses_what_the_check_refuses(rule):
    good = {"name": "a", "when": {}, "run": ["m"], "send_to": ["p"]}
    file = {"destinations": {"p": {"ae_title": "P", "host": "h"}}, "rules": [{**good, **rule}]}
    validator = Draft202012Validator(json_schema())

    assert validator.is_valid({**file, "rules": [good]})
    assert not validator.is_valid(file)


def test_rules_may_name_exactly_what_the_node_keeps_of_a_header():
    """SOPClassUID is kept as an identifier of the instance, all else as an attribute."""
    assert set(HEADER_FIELDS) == {*KEYWORDS, "SOPClassUID"}


def test_a_condition_of_a_package_is_read_like_one_of_a_rule():
    assert parse_condition(["CT", "MR"]) == ("CT", "MR")
    assert parse_condition({"not": "CT"}) == Condition(not_="CT")
