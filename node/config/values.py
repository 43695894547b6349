"""Types of single values, and what their patterns ask for in words."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from pydantic import BeforeValidator, Field, StringConstraints

AE_TITLE_PATTERN: Final = r"^[\x21-\x5b\x5d-\x7e]([\x20-\x5b\x5d-\x7e]*[\x21-\x5b\x5d-\x7e])?$"
NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
BACKEND_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*(@[!-~]+)?$"
UID_PATTERN: Final = r"^[0-9]+(\.[0-9]+)+$"
URL_PATTERN: Final = r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"

PATTERNS: Final = {
    AE_TITLE_PATTERN: "expected an AE title: printable ASCII without a backslash, "
    "no space at either end",
    NAME_PATTERN: "expected a name of letters, digits, '.', '_' and '-', "
    "starting with a letter or a digit",
    BACKEND_PATTERN: "expected the name of a backend, such as onnx, or NAME@DEVICE",
    UID_PATTERN: "expected a UID: numbers with dots between them",
    URL_PATTERN: "expected http:// or https:// with a host, no user, no '?' and no '#'",
}
"""What each pattern asks for, in words."""

AETitle: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=16, pattern=AE_TITLE_PATTERN)
]
"""1 to 16 printable ASCII characters, no backslash (PS3.5 Section 6.2, VR AE)."""

Port: TypeAlias = Annotated[int, Field(ge=1, le=65535)]
Name: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=NAME_PATTERN)
]
BackendName: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=256, pattern=BACKEND_PATTERN)
]
"""An installed backend, with or without the device it runs on."""


def _one_is_a_list_of_one(value: object) -> object:
    return (value,) if isinstance(value, str) else value


_Several: TypeAlias = Annotated[tuple[BackendName, ...], Field(min_length=1)]
Backends: TypeAlias = Annotated[
    _Several, BeforeValidator(_one_is_a_list_of_one, json_schema_input_type=BackendName | _Several)
]
Uid: TypeAlias = Annotated[str, StringConstraints(max_length=64, pattern=UID_PATTERN)]
