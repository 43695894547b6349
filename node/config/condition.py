"""The conditions of rules and model packages: data, never code.

`FORMS` says how a condition is written and when it holds; `node.plan.match` decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)

from node.config.fields import COMPUTED_FIELDS, HEADER_FIELDS, check_field
from node.config.section import Section

FORMS: Final = (
    ("`CT`, `5`", "The value equals it; text without regard to case."),
    ("`[CT, MR]`", "The value equals one of them."),
    (
        "`{not: X}`",
        "The value does not equal X, or any of a list X. Also holds when there is no value.",
    ),
    ("`{contains: X}`", "The text contains X, or any of a list X; without regard to case."),
    (
        "`{matches: RE}`",
        "The regular expression is found in the text; without regard to case.",
    ),
    (
        "`{min: A, max: B}`",
        "A ≤ number ≤ B; either may be left out. An age such as `045Y` counts in years.",
    ),
    ("`{present: true}`", "The element is there and not empty; with `false`: it is not."),
)
"""How a condition is written, and when it holds."""

MAPPING, LIST, PLAIN = "<mapping>", "<list>", "<plain>"
"""Names of the branches of `ConditionValue` in the places pydantic reports."""


def _plain(value: Any) -> Any:
    """Let text and numbers through, everything else not."""
    if isinstance(value, bool):
        raise ValueError(  # noqa: TRY004 - pydantic reports ValueError, not TypeError
            f"expected text or a number; put {str(value).lower()} in quotes, "
            "or write {present: true}"
        )
    if not isinstance(value, int | float | str) or value == "":
        raise ValueError("expected text or a number")
    return value


def _form(value: Any) -> str:
    """Choose the branch of a condition by how it is written, so that one branch reports."""
    if isinstance(value, Mapping | Section):
        return MAPPING
    return LIST if isinstance(value, list | tuple) else PLAIN


def _known_field(name: str) -> str:
    if problem := check_field(name):
        raise ValueError(problem)
    return name


FieldName: TypeAlias = Annotated[
    str,
    AfterValidator(_known_field),
    WithJsonSchema({"type": "string", "enum": [*HEADER_FIELDS, *COMPUTED_FIELDS]}),
]
"""A field that conditions may name."""

Scalar: TypeAlias = Annotated[int | float | str, BeforeValidator(_plain)]
Scalars: TypeAlias = Annotated[tuple[Scalar, ...], Field(min_length=1)]
Word: TypeAlias = Annotated[str, Field(min_length=1)]
Words: TypeAlias = Annotated[tuple[Word, ...], Field(min_length=1)]


class Condition(Section):
    """The mapping form of a condition; several keys in one mapping must all hold."""

    model_config = ConfigDict(populate_by_name=True)

    not_: (
        Annotated[
            Annotated[Scalars, Tag(LIST)] | Annotated[Scalar, Tag(PLAIN)], Discriminator(_form)
        ]
        | None
    ) = Field(default=None, alias="not", description="Holds when the value equals none of these.")
    contains: (
        Annotated[Annotated[Words, Tag(LIST)] | Annotated[Word, Tag(PLAIN)], Discriminator(_form)]
        | None
    ) = Field(default=None, description="Holds when the text contains one of these.")
    matches: str | None = Field(
        default=None, description="Regular expression, searched without regard to case."
    )
    min: float | None = Field(default=None, description="Least value that holds.")
    max: float | None = Field(default=None, description="Greatest value that holds.")
    present: bool | None = Field(default=None, description="Whether the element must have a value.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        expected = "expected one of not, contains, matches, min, max, present"
        if not self.model_fields_set:
            raise ValueError(f"an empty condition; {expected}")
        if empty := sorted(n for n in self.model_fields_set if getattr(self, n) is None):
            raise ValueError(f"{empty[0].rstrip('_')} has no value")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min:g}) is greater than max ({self.max:g})")
        if self.matches is not None:
            try:
                re.compile(self.matches)
            except re.error as error:
                raise ValueError(f"matches: not a regular expression: {error}") from error
        return self


ConditionValue: TypeAlias = Annotated[
    Annotated[Condition, Tag(MAPPING)]
    | Annotated[Scalars, Tag(LIST)]
    | Annotated[Scalar, Tag(PLAIN)],
    Discriminator(_form),
]
"""A condition as it is written, in any of `FORMS`."""

_ADAPTER: TypeAdapter[ConditionValue] = TypeAdapter(ConditionValue)


def parse_condition(raw: Any) -> ConditionValue:
    """Check one condition that did not come with the configuration (a package's ``select``).

    Raises
    ------
    pydantic.ValidationError
        If it is not one of `FORMS`.
    """
    return _ADAPTER.validate_python(raw)


__all__ = [
    "COMPUTED_FIELDS",
    "FORMS",
    "HEADER_FIELDS",
    "Condition",
    "ConditionValue",
    "FieldName",
    "Scalar",
    "check_field",
    "parse_condition",
]
