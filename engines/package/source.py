"""YAML that remembers its lines and refuses what a reader would overlook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml


class Source:
    """A YAML document and where its keys stand.

    Parameters
    ----------
    text
        The document.

    Attributes
    ----------
    value
        What the document says; None where `problems` is not empty.
    problems
        Line and text of everything wrong with the YAML itself: syntax, duplicate keys,
        aliases (they hide what applies where, and can unfold without bound).
    """

    def __init__(self, text: str) -> None:
        self.value: Any = None
        self.problems: list[tuple[int, str]] = []
        self._root: yaml.Node | None = None
        try:
            if aliases := list(_aliases(text)):
                self.problems = [
                    (line, "aliases are not allowed; write the value out") for line in aliases
                ]
                return
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.problems = sorted(_duplicates(self._root))
            if not self.problems:
                self.value = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.problems = [(mark.line + 1 if mark else 1, error.problem or "is not valid YAML")]
        except (yaml.YAMLError, ValueError, TypeError, RecursionError):
            self.problems = [(1, "is not valid YAML")]

    def locate(self, loc: Sequence[str | int]) -> tuple[int, str]:
        """Find the line and the dotted path of a place that a validator names.

        Parameters
        ----------
        loc
            Keys and indexes from the root. Elements that the document does not have
            (a union's tag, a missing key) are passed over; a missing last key stays in
            the path and has the line of what should hold it.

        Returns
        -------
        tuple of int and str
            Line, from 1, and path such as ``model.inputs.0.layout``.
        """
        node, path = self._root, []
        line = node.start_mark.line + 1 if node else 1
        for number, key in enumerate(loc):
            found = _child(node, key)
            if found is not None:
                line, node = found
                path.append(str(key))
            elif number == len(loc) - 1 and key != "[key]":
                path.append(str(key))
        return line, ".".join(path) or "document"


def _child(node: yaml.Node | None, key: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == str(key):
                return name.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        item = node.value[key]
        return item.start_mark.line + 1, item
    return None


def _aliases(text: str) -> Iterator[int]:
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) and event.start_mark:
            yield event.start_mark.line + 1


def _duplicates(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _duplicates(item)
    if isinstance(node, yaml.MappingNode):
        seen: dict[tuple[str, str], int] = {}
        for name, value in node.value:
            line = name.start_mark.line + 1
            first = seen.setdefault((name.tag, str(name.value)), line)
            if first != line:
                yield line, f"{name.value}: is already in line {first}"
            yield from _duplicates(value)


__all__ = ["Source"]
