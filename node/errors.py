"""Every error the node raises on purpose.

NodeError
├── ConfigError            the administrator must act; the process does not start
├── RejectedInstance       one C-STORE is refused; carries a DIMSE status
├── ProtocolError          a peer breaks the upper layer protocol; its association is aborted
└── StepError              one step of one study failed
    ├── TransientError     try again later (peer down, disk full)
    │   └── Away           the destination cannot be reached, or rejects the association
    └── PermanentError     trying again cannot help (geometry, missing attribute)
        ├── NotAccepted    a destination takes no such objects at all
        ├── GeometryError  the series is not a regular volume
        └── ReportError    a report document cannot be read or used

The class decides on retry. No message carries patient data: UIDs, keywords, numbers
and AE titles only.
"""

from __future__ import annotations


class NodeError(Exception):
    """Base of all errors the node raises on purpose."""


class ConfigError(NodeError):
    """The configuration cannot be used; the message says which file, line and key."""


class RejectedInstance(NodeError):  # noqa: N818 - it is what happened to the instance
    """One instance is refused at the door.

    Parameters
    ----------
    status
        DIMSE status of the C-STORE response (PS3.4 Section B.2.3).
    reason
        What was found and what was expected.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class ProtocolError(NodeError):
    """A peer sends what the upper layer protocol (PS3.8) does not allow.

    Parameters
    ----------
    reason
        Of the A-ABORT that answers it (PS3.8 Section 9.3.8).
    message
        What was found and what was expected.
    """

    def __init__(self, reason: int, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class StepError(NodeError):
    """One step of one study failed."""


class TransientError(StepError):
    """The same step may succeed later: a peer is down, a disk is full."""


class Away(TransientError):  # noqa: N818 - it is where the destination is
    """A destination cannot be reached, or rejects the association: no object is at fault."""


class PermanentError(StepError):
    """The same step fails again with the same input: trying again cannot help."""


class NotAccepted(PermanentError):  # noqa: N818 - it is what the destination says
    """A destination does not take objects of this SOP class or transfer syntax at all."""


class GeometryError(PermanentError):
    """The slices of a series do not make a regular volume; the message says why."""


class ReportError(PermanentError):
    """A report document cannot be used; the message says why and never quotes it."""
