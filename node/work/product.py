"""The product of the infer step: a result and its provenance as one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from engines.types import (
    ClassificationResult,
    ClassScore,
    Code,
    Label,
    Measurement,
    Provenance,
    Result,
    SegmentationResult,
)
from node.errors import PermanentError


def dump_product(result: Result, provenance: Provenance) -> bytes:
    """Encode a result as an ``.npz`` of a JSON text and, for a segmentation, its label map."""
    content = asdict(result)
    arrays: dict[str, Any] = {}
    if isinstance(result, SegmentationResult):
        arrays["labelmap"] = content.pop("labelmap")
    document = {
        "type": type(result).__name__,
        "result": content,
        "provenance": asdict(provenance),
    }
    arrays["document"] = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    stream = BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def load_product(path: Path) -> tuple[Result, Provenance]:
    """Decode what `dump_product` wrote.

    Raises
    ------
    PermanentError
        If the file holds a type of result that this version does not know.
    """
    with np.load(path, allow_pickle=False) as arrays:
        document = json.loads(arrays["document"].tobytes())
        labelmap = arrays.get("labelmap")
    provenance = Provenance(
        **{**document["provenance"], "notes": tuple(document["provenance"]["notes"])}
    )
    content = document["result"]
    match document["type"]:
        case "SegmentationResult":
            return (
                SegmentationResult(
                    labelmap=labelmap,
                    labels=tuple(_label(label) for label in content["labels"]),
                    measurements=tuple(Measurement(**m) for m in content["measurements"]),
                ),
                provenance,
            )
        case "ClassificationResult":
            return (
                ClassificationResult(
                    concept=Code(**content["concept"]),
                    scores=tuple(
                        ClassScore(s["name"], Code(**s["code"]), s["probability"])
                        for s in content["scores"]
                    ),
                    predicted=content["predicted"],
                ),
                provenance,
            )
        case other:
            raise PermanentError(f"the product {path.name} holds a result of unknown type {other}")


def _label(content: Mapping[str, Any]) -> Label:
    return Label(
        value=content["value"],
        name=content["name"],
        category=Code(**content["category"]),
        type=Code(**content["type"]),
        color=(content["color"][0], content["color"][1], content["color"][2]),
    )
