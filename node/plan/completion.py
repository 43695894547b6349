"""When a study counts as complete, and why."""

from __future__ import annotations

from datetime import datetime


def is_complete(last_received_at: datetime, now: datetime, quiet_period_s: float) -> str | None:
    """Say why a study is complete at a point in time, or None while it is not.

    DICOM has no "last image": an association may end in the middle of a study, and one
    study may come over many. Silence is the only sign every sender gives.

    Parameters
    ----------
    last_received_at, now
        Timezone-aware. A clock that was set back makes the study wait, never hurry.
    quiet_period_s
        Seconds without a new instance after which a study is complete.

    Returns
    -------
    str or None
        A sentence such as ``no new instance for 60 s``.

    Raises
    ------
    ValueError
        If a time has no timezone.
    """
    for name, time in (("last_received_at", last_received_at), ("now", now)):
        if time.utcoffset() is None:
            raise ValueError(f"{name} has no timezone")
    if (now - last_received_at).total_seconds() < quiet_period_s:
        return None
    return f"no new instance for {quiet_period_s:g} s"
