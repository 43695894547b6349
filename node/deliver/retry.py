"""When to try again: the waits of a destination that is away, of an object, and the end of both.

Pure functions: time and chance are arguments. A moment that lies further in the future than
any wait can be is one that was written before the clock was set back, and is not waited for.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from node.config.destination import Retry

JITTER: Final = 0.2
"""Largest part of a wait that chance takes off."""

_MOST_DOUBLINGS: Final = 30


class Gate(Enum):
    """Whether objects may be sent to a destination."""

    OPEN = "open"
    TRIAL = "trial"
    """It was away, and its wait is over: one object shows whether it is back."""
    SHUT = "shut"


def wait_s(retry: Retry, failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row.

    Parameters
    ----------
    failures
        At least 1.
    chance
        From 0 (the whole wait) to 1 (a fifth less), drawn anew each time.
    """
    doubled = retry.first_s * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
    return float(min(doubled, retry.longest_s) * (1 - JITTER * chance))


def is_due(next_try_at: datetime | None, now: datetime, longest_s: float) -> bool:
    """Whether a wait is over."""
    if next_try_at is None or next_try_at <= now:
        return True
    return next_try_at > now + timedelta(seconds=longest_s)


def gate(failures: int, next_try_at: datetime | None, now: datetime, retry: Retry) -> Gate:
    """Whether objects may be sent to a destination that has failed so often in a row."""
    if not failures:
        return Gate.OPEN
    return Gate.TRIAL if is_due(next_try_at, now, retry.longest_s) else Gate.SHUT


def given_up_before(retry: Retry, now: datetime) -> datetime:
    """A delivery that is older than this, and still waits, is given up."""
    return now - timedelta(hours=retry.give_up_after_h)
