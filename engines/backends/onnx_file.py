"""Looking into an ONNX file without running it and without the onnx package.

ONNX is protobuf; walking the few messages that can name a file or an operator is a page,
while the onnx package is a 20 MB dependency that only training needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})

# Message → field number → message inside, from onnx.proto3. Other fields are passed over.
_MESSAGES = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_NODE_DOMAIN, _FUNCTION_DOMAIN = 7, 10
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14


@dataclass
class _Seen:
    node_domains: set[str] = field(default_factory=set)
    function_domains: set[str] = field(default_factory=set)
    external_data: bool = False


def problems(model: bytes) -> list[str]:
    """Find what makes an ONNX file more than a graph of standard operators.

    Parameters
    ----------
    model
        Content of the file.

    Returns
    -------
    list of str
        Weights in other files; operators that the ONNX standard does not define and the
        file does not define itself. Empty if there are none.
    """
    seen = _Seen()
    try:
        _walk(memoryview(model), "Model", seen)
    except (IndexError, UnicodeDecodeError, RecursionError):
        return ["is not an ONNX file"]
    found = []
    if seen.external_data:
        found.append("keeps weights in other files; store them in the ONNX file itself")
    custom = seen.node_domains - STANDARD_DOMAINS - seen.function_domains
    if custom:
        found.append(f"uses operators outside the ONNX standard: {', '.join(sorted(custom))}")
    return found


def _walk(message: memoryview, kind: str, seen: _Seen) -> None:
    for number, value in _fields(message):
        if isinstance(value, memoryview):
            if inner := _MESSAGES[kind].get(number):
                _walk(value, inner, seen)
            elif (kind, number) == ("Node", _NODE_DOMAIN):
                seen.node_domains.add(bytes(value).decode())
            elif (kind, number) == ("Function", _FUNCTION_DOMAIN):
                seen.function_domains.add(bytes(value).decode())
        if kind == "Tensor":
            named = number == _TENSOR_EXTERNAL_DATA
            seen.external_data |= named or (number == _TENSOR_DATA_LOCATION and value == 1)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Split a protobuf message into field numbers and values (int or bytes)."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(message, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise IndexError(f"wire type {wire}")
        if at + size > len(message):
            raise IndexError("message ends early")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise IndexError("varint is too long")


__all__ = ["STANDARD_DOMAINS", "problems"]
