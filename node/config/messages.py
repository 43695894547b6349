"""What pydantic finds wrong → one sentence for each place, in an administrator's words."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from node.config.condition import LIST, MAPPING, PLAIN
from node.config.destination import KINDS
from node.config.model import Config
from node.config.problem import Location, Problem, key_path, suggestion
from node.config.tree import Tree
from node.config.values import PATTERNS

_BRANCHES: Final = frozenset({MAPPING, LIST, PLAIN, "[key]"})

_KINDS: Final = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "path": "a path",
    "tuple": "a list",
    "dict": "keys with values (key: value)",
    "model": "keys with values (key: value)",
}

_REPLACED: Final = {
    "storage_commitment": "is `proof` now: write `proof: storage_commitment`, or leave it out",
}
"""Keys of earlier versions, and what to write instead."""

_LIMITS: Final = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def problems_of(error: ValidationError, tree: Tree) -> Iterator[Problem]:
    """Translate a validation error, one problem for each place and message."""
    details = error.errors(include_url=False)
    places = [_location(detail) for detail in details]
    for detail, place in zip(details, places, strict=True):
        if detail["type"] == "too_short" and any(
            other[: len(place)] == place and len(other) > len(place) for other in places
        ):
            continue  # pydantic counts only the entries that are right; those are reported
        yield Problem(tree.line(place), key_path(place), _message(detail, place, tree))


def _location(detail: ErrorDetails) -> Location:
    loc = detail["loc"]
    if loc[:1] == ("destinations",) and len(loc) > 2 and loc[2] in KINDS:
        loc = loc[:2] + loc[3:]  # pydantic names the kind of destination it checked against
    return tuple(part for part in loc if part not in _BRANCHES)


def _message(detail: ErrorDetails, place: Location, tree: Tree) -> str:
    kind, value = detail["type"], detail["input"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    if kind == "extra_forbidden":
        key = str(place[-1])
        return _REPLACED.get(key) or f"unknown key{suggestion(key, _keys_at(place[:-1]))}"
    if kind == "missing":
        return "missing; this key is required"
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return f"{PATTERNS[context['pattern']]}; found {_shown(value)}"
    if kind in ("literal_error", "union_tag_invalid"):
        expected = str(context.get("expected") or context["expected_tags"]).replace("'", "")
        if kind == "union_tag_invalid":
            expected, value = f"kind: {expected.replace(', ', ' or ')}", context["tag"]
        return f"expected {expected}; found {_shown(value)}"
    if kind in _LIMITS:
        words, limit = _LIMITS[kind]
        return f"expected {words} {context[limit]:g}; found {_shown(value)}"
    if kind == "string_too_long":
        return f"at most {context['max_length']} characters; found {len(value)}"
    if kind in ("string_too_short", "too_short"):
        return "empty; at least one " + ("character" if isinstance(value, str) else "entry")
    return _wrong_type(kind.split("_")[0], value, place, tree) or detail["msg"]


def _wrong_type(kind: str, value: Any, place: Location, tree: Tree) -> str | None:
    """Say which type was expected and, where it is plain, how to write it."""
    if kind not in _KINDS:
        return None
    if value is None:
        return f"has no value; expected {_KINDS[kind]}, or leave the key out"
    if kind in ("string", "path") and isinstance(value, int | float):
        return f'expected text; put it in quotes: "{tree.written.get(place, value)}"'
    if kind == "tuple" and isinstance(value, str | int | float):
        return f"expected a list; write [{tree.written.get(place, value)}]"
    return f"expected {_KINDS[kind]}; found {_shown(value)}"


def _shown(value: Any) -> str:
    """Describe a value of the file without printing all of it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = value if len(value) <= 40 else f"{value[:37]}..."
        return f"'{text}'" if text.isprintable() else repr(text)
    if isinstance(value, int | float):
        return str(value)
    if value is None:
        return "nothing"
    return "a list" if isinstance(value, list) else "keys with values"


def _keys_at(location: Location) -> list[str]:
    """List the keys of the section at a location of the file."""
    annotation: Any = Config
    for part in location:
        annotation = _step(annotation, part)
    return [
        field.alias or name
        for model in _sections_in(annotation)
        for name, field in model.model_fields.items()
    ]


def _step(annotation: Any, part: str | int) -> Any:
    """Go from the type of a value to the type of one of its parts."""
    if models := _sections_in(annotation):
        fields = (item for model in models for item in model.model_fields.items())
        field = next((f for n, f in fields if part in (n, f.alias)), None)
        return field.annotation if field else None
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is dict:
        return arguments[1]
    return arguments[0] if origin is tuple else None


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    """Find the sections in ``Section``, ``Section | None``, or a union of kinds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Annotated, typing.Union, types.UnionType):
        return [found for part in typing.get_args(annotation) for found in _sections_in(part)]
    return []
