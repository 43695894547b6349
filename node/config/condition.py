"""The conditions of rules and model packages: data, never code.

====================  ==================================================================
written                holds when
====================  ==================================================================
``CT``, ``5``         the value equals it (text without regard to case)
``[CT, MR]``          the value equals one of them
``{not: X}``          the value does not equal X (or any of a list X); absent holds too
``{contains: X}``     text contains X, or one of the element's values equals X; a list X:
                      any of them
``{matches: RE}``     the regular expression is found in the text, case ignored
``{min: A, max: B}``  A ≤ number ≤ B; either may be left out
``{present: true}``   the element is there and not empty (``false``: it is not)
====================  ==================================================================

Several keys in one mapping must all hold. An element with several values holds when any
of its values does; under ``not``, when none does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydicom.datadict import tag_for_keyword

Scalar: TypeAlias = Annotated[int | float | str, Field(union_mode="left_to_right")]

COMPUTED_FIELDS = ("slices", "spacing_mm")
"""Fields that are computed from the series rather than read from one element."""


class Condition(BaseModel):
    """The mapping form of a condition."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    not_: Scalar | tuple[Scalar, ...] | None = Field(
        default=None, alias="not", description="Holds when the value equals none of these."
    )
    contains: str | tuple[str, ...] | None = Field(
        default=None, description="Holds when the text contains, or a value equals, one of these."
    )
    matches: str | None = Field(
        default=None, description="Regular expression, searched without regard to case."
    )
    min: float | None = Field(default=None, description="Least value that holds.")
    max: float | None = Field(default=None, description="Greatest value that holds.")
    present: bool | None = Field(default=None, description="Whether the element must have a value.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("an empty condition; expected one of not, contains, matches, min, max, present")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min:g}) is greater than max ({self.max:g})")
        if self.matches is not None:
            try:
                re.compile(self.matches)
            except re.error as error:
                raise ValueError(f"matches: not a regular expression: {error}") from error
        return self


ConditionValue: TypeAlias = Condition | Scalar | tuple[Scalar, ...]


def check_field(name: str) -> str | None:
    """Say what is wrong with a field name, or None: DICOM keywords and computed fields exist."""
    if name in COMPUTED_FIELDS or tag_for_keyword(name) is not None:
        return None
    return f"{name!r} is neither a DICOM keyword nor one of {', '.join(COMPUTED_FIELDS)}"
