"""YAML text → plain values, and the line each of them stands on.

YAML as administrators expect it (the 1.2 core schema): ``NO`` and ``YES`` are DICOM code
strings, not truth values, and ``22:30`` is text. Anchors, aliases and ``<<`` work; the
number of values after their expansion is limited, so that a small file cannot become a
huge one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from node.config.problem import Location, Problem, key_path

MAX_BYTES: Final = 1_000_000
MAX_VALUES: Final = 20_000
"""Far above any configuration; keeps hostile or broken files cheap."""

_TAG: Final = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """Knows true, false, null, numbers and ``<<``; everything else is text."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - PyYAML's own interface


for _name, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    (
        "float",
        r"^[-+]?(?:(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))$"
        r"|^\.(?:nan|NaN|NAN)$",
        "-+0123456789.",
    ),
    ("merge", r"^<<$", "<"),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), list(_first))


@dataclass
class Tree:
    """What a file holds.

    Parameters
    ----------
    data
        Mappings, lists, text, numbers, truth values and None.
    lines
        Line of each value: of its key, or of the list entry.
    written
        Scalars as they stand in the file, so that ``007`` can be shown as ``007``.
    problems
        What YAML itself allows and we do not: duplicate keys, unknown tags.
    """

    data: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    written: dict[Location, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, location: Location) -> int:
        """Line of a location, or of the nearest thing around it that is in the file."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


class _UnreadableError(Exception):
    """The file cannot be taken apart further; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def read_tree(raw: bytes) -> Tree:
    """Take a configuration file apart; never raises, all mistakes are in ``problems``."""
    try:
        return _Reader().read(_compose(_decode(raw)))
    except _UnreadableError as error:
        return Tree(problems=[error.problem])
    except RecursionError:
        return Tree(problems=[Problem(1, "", "nested too deeply for a configuration file")])


def _decode(raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        message = f"{len(raw)} bytes; no configuration file is longer than {MAX_BYTES}"
        raise _UnreadableError(Problem(None, "", message))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise _UnreadableError(Problem(line, "", message)) from error


def _compose(text: str) -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise _UnreadableError(Problem(line, "", _syntax_message(error))) from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        message = f"character U+{ord(text[error.position]):04X} is not allowed in YAML"
        raise _UnreadableError(Problem(line, "", message)) from error
    except (ValueError, OverflowError) as error:  # "\\UFFFFFFFF", which PyYAML does not check
        raise _UnreadableError(Problem(None, "", "an escape that is no character")) from error
    if root is None:
        raise _UnreadableError(
            Problem(1, "", "the file is empty; destinations and rules are required")
        )
    return root


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "not understood"
    if "'\\t'" in problem:
        return "not YAML: a tab; indent with spaces"
    if "expected a single document" in (error.context or ""):
        return "not one YAML document: a second one starts here; remove the line '---'"
    started = ""
    if error.context and error.context_mark:
        started = f" ({error.context} that starts in line {error.context_mark.line + 1})"
    return f"not YAML: {problem}{started}"


class _Reader:
    """Turns composed nodes into values and remembers where each stands."""

    def __init__(self) -> None:
        self.tree = Tree()
        self.values = 0
        self.open: set[int] = set()

    def read(self, root: yaml.Node) -> Tree:
        """Read the document below its root node."""
        self.tree.lines[()] = _line(root)
        self.tree.data = self._value(root, ())
        return self.tree

    def _problem(self, node: yaml.Node, location: Location, message: str) -> None:
        self.tree.problems.append(Problem(_line(node), key_path(location), message))

    def _count(self, node: yaml.Node) -> None:
        self.values += 1
        if self.values > MAX_VALUES:
            message = f"more than {MAX_VALUES} values after the aliases are filled in"
            raise _UnreadableError(Problem(_line(node), "", message))

    def _value(self, node: yaml.Node, location: Location) -> Any:
        self._count(node)
        if isinstance(node, yaml.ScalarNode):
            self.tree.written[location] = node.value
            return self._scalar(node, location)
        if id(node) in self.open:
            self._problem(node, location, "an alias that contains itself")
            return None
        self.open.add(id(node))
        try:
            if node.tag not in (_TAG + "map", _TAG + "seq"):
                self._unknown_tag(node, location)
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, location)
            return self._sequence(node, location)
        finally:
            self.open.remove(id(node))

    def _sequence(self, node: yaml.Node, location: Location) -> list[Any]:
        values = []
        for index, item in enumerate(node.value):
            here = (*location, index)
            self.tree.lines[here] = _line(item)
            values.append(self._value(item, here))
        return values

    def _mapping(self, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        first: dict[str, int] = {}
        values: dict[str, Any] = {}
        for key_node, value_node, merged in self._entries(node, location):
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(key_node, location, "a key must be text, not a list or a mapping")
                continue
            key = str(key_node.value)
            here = (*location, key)
            if key in first:
                if not merged:
                    message = f"given twice; first in line {first[key]}"
                    self._problem(key_node, here, message)
                continue
            first[key] = self.tree.lines[here] = _line(key_node)
            values[key] = self._value(value_node, here)
        return values

    def _entries(
        self, node: yaml.MappingNode, location: Location
    ) -> Iterator[tuple[yaml.Node, yaml.Node, bool]]:
        """Key and value nodes, the mapping's own first, then those that ``<<`` brings in."""
        merges: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                listed = isinstance(value_node, yaml.SequenceNode)
                merges += value_node.value if listed else [value_node]
            else:
                yield key_node, value_node, False
        for merge in merges:
            self._count(merge)
            if not isinstance(merge, yaml.MappingNode):
                self._problem(merge, location, "<< takes a mapping or a list of mappings")
                continue
            for key_node, value_node, _ in self._entries(merge, location):
                yield key_node, value_node, True

    def _scalar(self, node: yaml.ScalarNode, location: Location) -> Any:
        kind = node.tag.removeprefix(_TAG)
        text: str = node.value
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind in ("int", "float"):
            try:
                return int(text) if kind == "int" else float(text)
            except ValueError:  # .inf, .nan and integers of thousands of digits: no setting
                self._problem(node, location, f"not a number that can be used: {text[:40]}")
                return 1
        if kind not in ("str", "merge"):
            self._unknown_tag(node, location)
        return text

    def _unknown_tag(self, node: yaml.Node, location: Location) -> None:
        tag = str(node.tag).replace(_TAG, "!!")
        self._problem(node, location, f"the tag {tag} is not used here; leave it out")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
