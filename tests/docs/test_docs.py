"""What the pages say is there is there, and what is there is on the pages."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

import engines.errors
import node.errors
from engines.package import Manifest
from engines.package.consistency import problems
from node import __version__
from node.cli.main import cli
from node.config.load import check_file
from node.config.problem import Severity
from node.domain import DeliveryState, StudyState
from tests.docs import manifest_page
from tests.docs.pages import DOCS, PAGES, ROOT, anchors, blocks, first_cells, links, sections

REFERENCE = DOCS / "reference"


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its full name."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        one = command.get_command(context, name)
        assert one is not None
        yield from commands(one, f"{path} {name}")


def options(command: click.Command) -> set[str]:
    """The options of a command that its help shows."""
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for name in parameter.opts
        if name.startswith("--") and name != "--help"
    }


def source_files() -> list[Path]:
    return sorted([*(ROOT / "node").rglob("*.py"), *(ROOT / "engines").rglob("*.py")])


def logged_events() -> set[str]:
    """The first argument of every call of a method of ``log``."""
    return {
        text.value
        for file in source_files()
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and call.args
        if any(isinstance(part, ast.Name) and part.id == "log" for part in ast.walk(call.func))
        for text in ast.walk(call.args[0])
        if isinstance(text, ast.Constant) and isinstance(text.value, str)
    }


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_inside_the_project_leads_somewhere(page):
    broken = []
    for link in links(page):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        place = (page.parent / target).resolve() if target else page
        known = place.exists() and place.is_relative_to(ROOT)
        if not known or (anchor and anchor not in anchors(place)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("block", blocks("yaml wetread"), ids=lambda b: f"{b.page}:{b.line}")
def test_every_configuration_on_a_page_is_good(tmp_path, block):
    file = tmp_path / "wetread.yaml"
    content = yaml.safe_load(block.text)
    # The packages of the machine that runs the test are no matter.
    content["models_dir"] = "absent"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")

    _, found = check_file(file)

    assert [p.render(block.page) for p in found if p.severity is Severity.ERROR] == []


@pytest.mark.parametrize("block", blocks("yaml manifest"), ids=lambda b: f"{b.page}:{b.line}")
def test_every_manifest_on_a_page_is_good(block):
    assert problems(Manifest.model_validate(yaml.safe_load(block.text))) == []


@pytest.mark.parametrize("block", blocks("json"), ids=lambda b: f"{b.page}:{b.line}")
def test_every_json_on_a_page_is_json(block):
    json.loads(block.text)


def test_every_command_has_a_section_with_its_options_and_no_others():
    pages = sections(REFERENCE / "cli.md")
    documented = {
        re.sub(r"[` ]*([A-Z_\[\] ]+`)?$", "", heading).strip("` "): first_cells(text)
        for heading, text in pages.items()
    }

    expected = {path: options(command) for path, command in commands(cli, "wetread")}

    assert documented == {"wetread": {"--version"}, **expected}


def test_every_log_event_has_a_row_and_no_row_is_for_nothing():
    assert first_cells((REFERENCE / "log-events.md").read_text(encoding="utf-8")) == logged_events()


@pytest.mark.parametrize("module", [node.errors, engines.errors], ids=lambda m: m.__name__)
def test_every_error_has_a_row(module):
    classes = {
        name
        for name, one in inspect.getmembers(module, inspect.isclass)
        if issubclass(one, Exception) and one.__module__ == module.__name__
    }

    rows = first_cells((REFERENCE / "errors.md").read_text(encoding="utf-8"))

    assert classes <= rows


def test_every_metric_has_a_row_and_no_row_is_for_nothing():
    sources = [ROOT / "node" / "metrics.py", *(ROOT / "node" / "web").glob("*collector.py")]
    names = {
        name for file in sources for name in re.findall(r'"(wetread_\w+)"', file.read_text("utf-8"))
    }

    assert first_cells((REFERENCE / "metrics.md").read_text(encoding="utf-8")) == names


def test_every_state_is_explained():
    text = sections(DOCS / "how-to" / "read-a-study.md")

    assert first_cells(text["States"]) == {state.value for state in StudyState}
    assert [s.value for s in DeliveryState if f"`{s.value}`" not in text["Deliveries"]] == []


def test_the_manifest_page_is_what_the_manifest_is():
    page = REFERENCE / "manifest.md"

    assert page.read_text(encoding="utf-8") == manifest_page.render()


def test_the_changes_of_this_version_are_written_down():
    headings = sections(ROOT / "CHANGELOG.md")

    assert any(heading.startswith(f"[{__version__}] - ") for heading in headings)


def test_every_decision_is_in_the_list():
    folder = DOCS / "adr"
    written = {file.name for file in folder.glob("[0-9]*.md")}

    assert set(links(folder / "README.md")) == written


GUARANTEES = REFERENCE / "guarantees.md"


def test_every_test_that_a_promise_names_is_there():
    for words, target in re.findall(r"\[([^\]]+)\]\((\S+/test_\w+\.py)\)", GUARANTEES.read_text()):
        source = (GUARANTEES.parent / target).read_text(encoding="utf-8")
        assert f"\ndef test_{words.replace(' ', '_')}(" in source, words


def test_every_promise_names_a_test_or_a_command_that_holds_it():
    text = GUARANTEES.read_text(encoding="utf-8")
    promises = [line for line in text.splitlines() if re.match(r"\| (?!Promise|\W*\|)", line)]

    assert len(promises) > 40
    assert [p for p in promises if "/test_" not in p and "`make " not in p.split("|")[-2]] == []
