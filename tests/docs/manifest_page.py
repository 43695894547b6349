"""The reference page of the package manifest, rendered from its model.

``python -m tests.docs.manifest_page > docs/reference/manifest.md`` writes it anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from engines.package import manifest_json_schema

INTRODUCTION = """\
# The manifest of a model package

`manifest.yaml` in the package folder.
This page is rendered from its model, and a test compares the two.
Unknown keys, keys given twice and YAML aliases are errors.
`wetread models verify` prints every mistake with its line.
[How to add a model](../how-to/add-a-model.md) walks through one.

A code is `[scheme, value, meaning]`, such as `[SCT, "39607008", Lung structure]`.
Conditions under `select` are those of [the rules](configuration.md#conditions).
"""

LIMITS = """\
## What the fields say about each other

- `model.inputs[].layout` is NCHW for `ndim: 2` and NCDHW for `ndim: 3`.
- `preprocess.resize` is for 2D graphs, and excludes `spacing_mm`.
- `infer.mode: sliding_window` needs `patch` and a 3D graph; `slice` needs a 2D graph; only
  `sliding_window` has `patch`, `overlap` and `blend`.
- `infer.coarse` is for *segment* in mode `sliding_window`, and has either `package` or
  `spacing_mm`, which is not finer than `preprocess.spacing_mm`.
- `runtime.cuda_graph` needs one shape: `infer.patch` or `preprocess.resize`.
- `model.outputs[].kind: logits` needs `activation: softmax` or `sigmoid`; `probabilities` needs
  `none`.
- *segment* needs `labels`, whose values the output's channels can give, and has no `classes`,
  `concept` or `abstain`.
- `postprocess.regions` needs `activation: sigmoid` and has one value for each output channel;
  each is among `labels`, and each label among them.
- *classify* runs in mode `whole`, needs `concept` and as many `classes` as the output has
  channels, and has no `labels`, `steps` or `measurements`.
- `model.precision.default` is among `model.precision.allowed`. Only TensorRT has a choice; the
  other backends compute in float32.
- Every path lies inside the package folder, also after links are followed.

## Read, but not acted on by this version

More than one channel is valid, but the node gives a model one series only.
"""


def render() -> str:
    """Render the page as Markdown."""
    schema = manifest_json_schema()
    lines = [INTRODUCTION]
    for title, section in _sections(schema):
        lines += [f"## {title}", "", section.get("description", ""), ""]
        lines += ["| Key | Type | Default | Description |", "|---|---|---|---|"]
        required = section.get("required", ())
        for key, field in section["properties"].items():
            default = "required" if key in required else _default(field)
            description = field.get("description") or _target(schema, field).get("description", "")
            row = (f"`{key}`", _type(schema, field), default, description)
            lines.append(f"| {' | '.join(_cell(text) for text in row)} |")
        lines.append("")
    return "\n".join([*lines, LIMITS])


def _sections(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "Top level", schema
    for name, section in schema["$defs"].items():
        if "properties" in section:
            yield name, section


def _target(schema: Mapping[str, Any], field: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(field.get("$ref", "")).rpartition("/")[2]
    found: Mapping[str, Any] = schema["$defs"].get(name, {})
    return found


def _type(schema: Mapping[str, Any], field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        if "properties" not in _target(schema, field):
            return "[condition](configuration.md#conditions)"
        return f"[{name}](#{name.lower()})"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    for key in ("anyOf", "oneOf"):
        if key in field:
            kinds = [_type(schema, one) for one in field[key] if one.get("type") != "null"]
            return " or ".join(kinds)
    if field.get("type") == "array":
        if "prefixItems" in field:
            kinds = [_type(schema, item) for item in field["prefixItems"]]
            kind = kinds[0] if len(set(kinds)) == 1 else ", ".join(kinds)
            return f"{len(kinds)} × {kind}"
        return f"list of {_type(schema, field['items'])}"
    if field.get("type") == "object":
        values = field.get("additionalProperties") or next(
            iter(field.get("patternProperties", {}).values()), {}
        )
        return f"mapping to {_type(schema, values)}" if values else "mapping"
    words = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    return words.get(field.get("type", ""), field.get("type", "anything"))


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    if default in (None, [], {}):
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return "its defaults" if isinstance(default, dict) else f"`{default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.stdout.write(render())
