"""The reference page of the configuration, written from its schema so that it stays true."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from node.config.condition import FORMS
from node.config.fields import CODED_FIELDS, COMPUTED_FIELDS, PRIVATE_FIELDS
from node.config.load import json_schema

EXAMPLE: Final = """\
receive:
  accept_from: [{ae_title: MAINPACS, host: 10.0.0.5}]
destinations:
  pacs: {ae_title: MAINPACS, host: 10.0.0.5, port: 104}
rules:
  - name: CT chest
    when: {Modality: CT, BodyPartExamined: [CHEST, THORAX], slices: {min: 30}}
    run: [ct-lungs]
    send_to: [pacs]
"""
"""The smallest configuration that does something."""

_INTRODUCTION: Final = """\
# Configuration

<!-- Generated: `wetread schema --markdown > docs/reference/configuration.md` -->

One YAML file, checked as a whole before anything starts: `wetread check FILE` prints every
mistake with its line. A key that is not listed here is a mistake. Relative paths start at the
folder of the file. `wetread schema` prints the JSON Schema for editors, and
`deploy/wetread.example.yaml` explains each key in place.

The smallest configuration that does something:

```yaml
{example}```
"""

_UNITS: Final = {"_s": "s", "_h": "h", "_mm": "mm", "_bytes": "bytes"}

_CONDITIONS: Final = """\
## Conditions

Conditions stand under `rules[].when` and in the `select` of a model package: a field, and what
its value must be. All fields of a rule must hold, and all keys of one mapping.

| Written | Holds when |
|---|---|
{forms}

An element with several values holds when any of its values does; under `not`, when none does.
A field that is absent holds only under `not` and `present: false`. Text and numbers compare
as numbers when one of them is a number: `5` equals `"5"` and `5.0`. `NO` and `YES` are text.

For a model that reads single images the conditions are asked of each image, for all others
of the series: of its first image. Localizers, screen saves and objects that are no images are
left out before any rule is asked. So are reformats and other derived CT, MR and PT images,
unless the rule has a condition on `ImageType`.

### Fields

Computed from the series:

| Field | Meaning |
|---|---|
{computed}

DICOM keywords: {coded}.

DICOM keywords whose values are never shown or logged, because they may hold patient data:
{private}.
"""


def render_reference() -> str:
    """Write ``docs/reference/configuration.md``."""
    schema = json_schema()
    parts = [_INTRODUCTION.format(example=EXAMPLE), "## Top level\n", _table(schema, schema)]
    shown: set[tuple[str, str]] = set()
    for path, name, section in _sections(schema, schema, ""):
        if (path, name) in shown:
            continue  # two kinds of a section have it in common
        shown.add((path, name))
        kind = section["properties"].get("kind", {}).get("const")
        heading = f"## `{path}`" + (f" of `kind: {kind}`" if kind else "")
        parts += [f"{heading}\n", f"{section['description']}\n", _table(schema, section)]
        if path == "rules[]":
            parts.append(_conditions())
    return "\n".join(parts)


def _sections(
    schema: Mapping[str, Any], section: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield each section below one, depth first, with its path and its name in the schema.

    Conditions have their own part.
    """
    for key, described in section["properties"].items():
        suffix, references = _inner(described)
        for reference in references:
            name, path = reference.rpartition("/")[2], f"{prefix}{key}{suffix}"
            yield path, name, schema["$defs"][name]
            yield from _sections(schema, schema["$defs"][name], f"{path}.")


def _inner(described: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Find the sections a key leads to: how its path goes on, and the references to them.

    More than one where a section is of several kinds.
    """
    if "$ref" in described:
        return "", [described["$ref"]]
    if "$ref" in described.get("items", {}):
        return "[]", [described["items"]["$ref"]]
    named = described.get("patternProperties") or {"": described.get("additionalProperties")}
    for value in named.values():
        if isinstance(value, dict) and (found := _references(value)):
            return ".NAME", found
    return "", _references(described)


def _references(described: Mapping[str, Any]) -> list[str]:
    options = described.get("oneOf") or [described, *described.get("anyOf", ())]
    found = [option["$ref"] for option in options if "$ref" in option]
    # A union of kinds has nothing but sections; a condition may also be a plain value.
    return found if "oneOf" not in described or len(found) == len(options) else []


def _table(schema: Mapping[str, Any], section: Mapping[str, Any]) -> str:
    lines = ["| Key | Type | Default | Unit | Description |", "|---|---|---|---|---|"]
    required = section.get("required", ())
    for key, described in section["properties"].items():
        default = "required" if key in required else _default(described)
        unit = next((unit for end, unit in _UNITS.items() if key.endswith(end)), "")
        cells = [f"`{key}`", _type(described), default, unit, _description(schema, described)]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _description(schema: Mapping[str, Any], described: Mapping[str, Any]) -> str:
    """The key's own description; pydantic leaves out one that its section repeats."""
    if "description" in described:
        return str(described["description"])
    name = _references(described)[0].rpartition("/")[2]
    return str(schema["$defs"][name]["description"])


def _default(described: Mapping[str, Any]) -> str:
    default = described.get("default")
    if default is None:
        return "none"
    if _inner(described)[1] and default:
        return "see below"
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _type(described: Mapping[str, Any]) -> str:
    """Say in words which values a key takes."""
    suffix, references = _inner(described)
    if references:
        return {"": "section", "[]": "list of sections", ".NAME": "sections by name"}[suffix]
    options = [o for o in described.get("anyOf", ()) if o.get("type") != "null"]
    if options:
        return _type(options[0])
    if "const" in described:
        return f"`{described['const']}`"
    if "enum" in described:
        return ", ".join(f"`{value}`" for value in described["enum"])
    kind = described["type"]
    if kind == "array":
        return f"list of {_type(described['items'])}"
    if kind == "string":
        return _text_type(described)
    if kind == "object":
        return "[conditions](#conditions) by field"
    words = {"integer": "whole number", "number": "number", "boolean": "true or false"}[kind]
    return f"{words}{_range(described)}"


def _text_type(described: Mapping[str, Any]) -> str:
    if described.get("format") == "path":
        return "path"
    longest = described.get("maxLength")
    return f"text, up to {longest} characters" if longest else "text"


def _range(described: Mapping[str, Any]) -> str:
    least, above = described.get("minimum"), described.get("exclusiveMinimum")
    greatest = described.get("maximum")
    lower = f"from {least:g}" if least is not None else ""
    lower = f"above {above:g}" if above is not None else lower
    upper = f"up to {greatest}" if greatest is not None else ""
    limits = " ".join(part for part in (lower, upper) if part)
    return f", {limits}" if limits else ""


def _conditions() -> str:
    return _CONDITIONS.format(
        forms="\n".join(f"| {written} | {meaning} |" for written, meaning in FORMS),
        computed="\n".join(f"| `{name}` | {text} |" for name, text in COMPUTED_FIELDS.items()),
        coded=", ".join(f"`{name}`" for name in CODED_FIELDS),
        private=", ".join(f"`{name}`" for name in PRIVATE_FIELDS),
    )
