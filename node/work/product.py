"""The product of the infer step: a result and its provenance as one file.

Dataclasses are kept field by field and read back by their annotations, so that a plug-in's
result type needs nothing here; see `engines.types.Result` for what a field may hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from io import BytesIO
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from engines.types import Array, Provenance, Result
from node.encode.base import result_types
from node.errors import PermanentError


def dump_product(result: Result, provenance: Provenance) -> bytes:
    """Encode a result as an ``.npz`` of a JSON text and its arrays.

    Raises
    ------
    PermanentError
        If a field holds what cannot be kept; the message names the type.
    """
    arrays: dict[str, Array] = {}
    document = {
        "type": f"{type(result).__module__}:{type(result).__qualname__}",
        "result": _plain(result, arrays),
        "provenance": _plain(provenance, arrays),
    }
    text = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    stream = BytesIO()
    np.savez_compressed(stream, document=text, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def load_product(path: Path) -> tuple[Result, Provenance]:
    """Decode what `dump_product` wrote.

    Raises
    ------
    PermanentError
        If the file holds a type of result that has no encoder here.
    """
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    document = json.loads(arrays["document"].tobytes())
    known = result_types()
    if document["type"] not in known:
        raise PermanentError(
            f"the product {path.name} holds a result of unknown type {document['type']}"
        )
    result: Result = _typed(known[document["type"]], document["result"], arrays)
    provenance: Provenance = _typed(Provenance, document["provenance"], arrays)
    return result, provenance


def _plain(value: Any, arrays: dict[str, Array]) -> Any:
    """Make JSON of a value; arrays are put aside under a name."""
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise PermanentError(f"a result holds an array of {value.dtype}, which cannot be kept")
        name = f"array-{len(arrays)}"
        arrays[name] = value
        return name
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name), arrays) for each in fields(value)}
    if isinstance(value, tuple):
        return [_plain(each, arrays) for each in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise PermanentError(f"a result holds a {type(value).__name__}, which cannot be kept")


def _typed(hint: Any, value: Any, arrays: Mapping[str, Array]) -> Any:
    """Make a value of the annotated type of what `_plain` made of it."""
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if kind is np.ndarray:
        return arrays[value]
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: _typed(hints[name], each, arrays) for name, each in value.items()})
    if kind is tuple:
        each_hint = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_typed(h, v, arrays) for h, v in zip(each_hint, value, strict=True))
    if kind in (Union, UnionType) and value is not None:
        return _typed(next(each for each in arguments if each is not NoneType), value, arrays)
    return value
