"""The base of every part of the configuration: strict about keys, silent about nothing."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

_NUMBERS: tuple[Any, ...] = (int, float, int | None, float | None)


class Section(BaseModel):
    """Base of every section: unknown keys are errors and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_not_one(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false for a number, which Python would take as 1 and 0."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and annotation in _NUMBERS:
            raise ValueError(f"expected a number, found {str(value).lower()}")
        return value
