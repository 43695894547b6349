"""Every DIMSE status the door answers (PS3.4 Section B.2.3, PS3.7 Annex C)."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """A status of a C-STORE-RSP or C-ECHO-RSP; of 0xCxxx each SCP chooses its own."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    """A fault of ours."""
    NO_SUCH_SOP_INSTANCE = 0x0112
    """Of storage commitment: not the well-known instance."""
    NO_SUCH_EVENT_TYPE = 0x0113
    """Of storage commitment: neither of the two events there are."""
    INVALID_ARGUMENT_VALUE = 0x0115
    """Of storage commitment: a report of an unknown transaction, or one that cannot be read."""
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    """Another SOP class than the presentation context's."""
    NO_SUCH_ACTION_TYPE = 0x0123
    """Of storage commitment: not the one action there is."""
    UNRECOGNIZED_OPERATION = 0x0211
    """Neither C-STORE nor C-ECHO nor storage commitment."""
    RESOURCE_LIMITATION = 0x0213
    """Of storage commitment: a request or report of too many instances."""
    OUT_OF_RESOURCES = 0xA700
    """Send again later."""
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    """Not what the request says."""
    CANNOT_UNDERSTAND = 0xC000
    """The data set cannot be parsed, or lacks what every instance needs."""
    TOO_LARGE = 0xC001
    """The data set is larger than the node takes."""
    NO_DATA_SET = 0xC002
    """A C-STORE-RQ that says that no data set follows."""
