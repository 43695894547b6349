"""What every section of a manifest shares."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from engines.types import Code

Number = Annotated[float, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Text = Annotated[str, Field(min_length=1)]
RelativePath = Annotated[
    str, Field(min_length=1, description="path inside the package folder, with forward slashes")
]
CodeTriple = Annotated[
    tuple[
        Annotated[str, Field(min_length=1, max_length=16)],
        Annotated[str, Field(min_length=1, max_length=16)],
        Annotated[str, Field(min_length=1, max_length=64)],
    ],
    Field(description="coding scheme designator, code value, code meaning (PS3.3 Section 8)"),
]


class Section(BaseModel):
    """Base of every section: unknown keys are errors and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def code(triple: tuple[str, str, str]) -> Code:
    """Turn the manifest's ``[scheme, value, meaning]`` into a code."""
    scheme, value, meaning = triple
    return Code(value=value, scheme=scheme, meaning=meaning)


__all__ = ["CodeTriple", "Number", "RelativePath", "Section", "Share", "Text", "Whole", "code"]
