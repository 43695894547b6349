"""Logging: structlog over the standard library, one line per event, no patient data.

Libraries that log through the standard library are rendered the same way.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor

PATIENT_DATA = frozenset(
    {
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "PatientAddress",
        "OtherPatientIDs",
        "AccessionNumber",
        "ReferringPhysicianName",
        "patient_name",
        "patient_id",
        "text",
    }
)
"""Keys that never reach a log line, whoever logs them."""

_NOISY = ("dbos", "highdicom", "uvicorn.access")
_SILENT = ("pydicom", "pynetdicom")
"""pydicom quotes the values it complains about: patient data. What pynetdicom says of a peer
that is down, the error that follows says better."""


def drop_patient_data(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Remove every key that names patient data (a structlog processor)."""
    return {key: value for key, value in event.items() if key not in PATIENT_DATA}


def trace_without_message(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Render an exception as its types and lines of code (a structlog processor).

    Its message may quote the data set, and the source line of a frame never does.
    """
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    parts: list[str] = []
    while isinstance(error, BaseException):
        frames = traceback.format_list(traceback.extract_tb(error.__traceback__))
        parts.insert(0, "".join([*frames, type(error).__qualname__]))
        error = error.__cause__ or error.__context__
    return {**event, "exception": "\n\nthen\n\n".join(parts)} if parts else event


class _Role:
    """Adds the process role to each event; context variables would not reach other threads."""

    def __init__(self, role: str) -> None:
        self._role = role

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        return {"role": self._role, **event}


def configure_logging(
    level: str = "info", form: Literal["auto", "json", "console"] = "auto", *, role: str = ""
) -> None:
    """Send all log events to standard error.

    Parameters
    ----------
    level
        Least severe level that is shown; the libraries' own events only from warning up.
    form
        ``auto``: for people on a terminal, JSON elsewhere.
    role
        Process role, part of every event.
    """
    people = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_patient_data,
        trace_without_message,
        *([] if not role else [_Role(role)]),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if people
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        library = logging.getLogger(name)
        # Not an empty list: into that dbos puts a handler of its own, which quotes messages.
        library.handlers = [logging.NullHandler()]
        library.propagate = True
        library.setLevel(max(logging.WARNING, root.level))
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
