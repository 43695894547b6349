"""Reading a MONAI bundle's configuration without running any of it.

In a bundle, a text that starts with ``@`` refers to another entry, one that starts with ``$``
is a Python expression, and a mapping with ``_target_`` builds an object. References are
followed; the other two are refused with their name wherever a value is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from engines.errors import PackageError
from engines.importing.draft import Document

DEEPEST = 16
"""References that lead to references; more are a circle."""

_MISSING = object()

# Arguments that say where and how MONAI computes, not what.
_NO_MATTER = {
    "_target_",
    "_disabled_",
    "_desc_",
    "keys",
    "allow_missing_keys",
    "device",
    "lazy",
    "overwriting",
    "meta_keys",
    "meta_key_postfix",
}


def resolve(document: Document, value: Any, what: str, depth: int = 0) -> Any:
    """Follow references until there is a plain value: number, text, None, list or mapping.

    Parameters
    ----------
    document
        The whole configuration.
    value
        As it stands there.
    what
        Where it stands, for messages.
    depth
        References followed so far.

    Raises
    ------
    PackageError
        If it is an expression, refers to nothing or to itself, or includes another file.
    """
    if isinstance(value, list):
        return [resolve(document, each, what, depth) for each in value]
    if isinstance(value, dict) and "_target_" not in value:
        return {key: resolve(document, each, what, depth) for key, each in value.items()}
    if not isinstance(value, str) or not value.startswith(("@", "$", "%")):
        return value
    if value[0] == "$":
        raise PackageError(f"{what}: the expression {value!r} is not evaluated; write its value")
    if value[0] == "%":
        raise PackageError(f"{what}: {value!r} includes another file; write its content")
    if depth >= DEEPEST:
        raise PackageError(f"{what}: the reference {value!r} goes round in a circle")
    found = _referred(document, value[1:].replace("#", "::").split("::"), what, depth)
    if found is _MISSING:
        raise PackageError(f"{what}: {value!r} refers to nothing in the configuration")
    return resolve(document, found, what, depth + 1)


def _referred(document: Document, path: list[str], what: str, depth: int) -> Any:
    """Walk from the top of the configuration; entries on the way may be references."""
    found: Any = document
    for part in path:
        if isinstance(found, str) and found.startswith("@"):
            found = resolve(document, found, what, depth + 1)
        if isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, dict) and part in found:
            found = found[part]
        else:
            return _MISSING
    return found


@dataclass
class Arguments:
    """The arguments of one `_target_`; remembers which were read, so that none is overlooked."""

    document: Document
    name: str
    given: Document
    _read: set[str] = field(default_factory=set)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a plain value.

        Raises
        ------
        PackageError
            If it is an expression or an object to build.
        """
        self._read.add(key)
        value = self.given.get(key, _MISSING)
        if value is _MISSING:
            return default
        value = resolve(self.document, value, f"{self.name}: {key}")
        if isinstance(value, dict) and "_target_" in value:
            raise PackageError(f"{self.name}: {key}: {value['_target_']} is not built")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number.

        Raises
        ------
        PackageError
            If it is not one, or missing without a default.
        """
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise PackageError(f"{self.name}: {key} is {value!r}, expected a number")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """Return true or false; of a list with one entry per key, the first."""
        value = self.get(key, default)
        value = value[0] if isinstance(value, list) and value else value
        if not isinstance(value, bool):
            raise PackageError(f"{self.name}: {key} is {value!r}, expected true or false")
        return value

    def must(self, key: str, allowed: Iterable[Any], default: Any) -> None:
        """Refuse any value but those that our manifest can express.

        Raises
        ------
        PackageError
            With the name of the transform, the value and what would do.
        """
        value = self.get(key, default)
        allowed = list(allowed)
        if (value[0] if isinstance(value, list) and value else value) not in allowed:
            wanted = " or ".join(repr(each) for each in allowed)
            raise PackageError(f"{self.name}: {key} {value!r} cannot be expressed, only {wanted}")

    def ignore(self, *keys: str) -> None:
        """Name arguments that do not change a number."""
        self._read.update(keys)

    def finish(self) -> None:
        """Refuse arguments that nobody has read.

        Raises
        ------
        PackageError
            With their names.
        """
        left = sorted(set(self.given) - self._read - _NO_MATTER)
        if left:
            raise PackageError(f"{self.name}: argument {', '.join(left)} cannot be expressed")

    @property
    def keys(self) -> list[str]:
        """Entries of the data that the transform works on."""
        found = resolve(self.document, self.given.get("keys", []), f"{self.name}: keys")
        return [found] if isinstance(found, str) else [str(each) for each in found]


def arguments(document: Document, value: Any, what: str) -> Arguments:
    """Read an entry that builds an object: its class name without module, and its arguments.

    Raises
    ------
    PackageError
        If it is no such entry.
    """
    value = resolve(document, value, what)
    if not isinstance(value, dict) or not isinstance(value.get("_target_"), str):
        raise PackageError(f"{what}: is {value!r}, expected an entry with _target_")
    return Arguments(document, value["_target_"].rsplit(".", 1)[-1], value)


def transforms(document: Document, section: str) -> list[Arguments]:
    """Read the transforms of a section, those that are disabled left out.

    Raises
    ------
    PackageError
        If the section is no list of transforms.
    """
    if section not in document:
        return []
    found = resolve(document, document[section], section)
    if isinstance(found, dict):
        found = resolve(document, found.get("transforms", []), f"{section}: transforms")
    if not isinstance(found, list):
        raise PackageError(f"{section}: expected a list of transforms")
    read = [arguments(document, each, f"{section}: {n}") for n, each in enumerate(found, 1)]
    return [each for each in read if each.get("_disabled_", False) is not True]


__all__ = ["Arguments", "arguments", "resolve", "transforms"]
