"""The extractor's knowledge, as data: concepts, lexicons and label sets in YAML."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import yaml

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BOOL = "tag:yaml.org,2002:bool"


class _Loader(_Base):  # type: ignore[misc]  # libyaml's loader where PyYAML has it: ten times faster
    """Reads ``no`` and ``on`` as the words that they are; only ``true`` and ``false`` are not."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for first, resolvers in _Base.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|false)$"), list("tf"))


def read_yaml(name: str) -> Any:
    """Load one file of this folder."""
    text = files(__name__).joinpath(name).read_text(encoding="utf-8")
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a kind of the safe loader
