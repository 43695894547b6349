"""What the tables are made of: kinds of column, and the one collection of all tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, MetaData, String, Text
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: timezone-aware in Python, UTC without zone in the database."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Refuse naive times, which mean another moment on every host."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime; expected one with a timezone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Give the timezone back."""
        return None if value is None else value.replace(tzinfo=UTC)


class Sentence(TypeDecorator[str]):
    """Words for people; a NUL, which may stand in a broken element, is no text to PostgreSQL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Show it as the replacement character."""
        return None if value is None else value.replace("\0", "\ufffd")


metadata = MetaData()
MAX_UID_LENGTH = 128
"""Twice what PS3.5 Section 9.1 allows: what the field sends is kept where that is possible."""

Uid = String(MAX_UID_LENGTH)
