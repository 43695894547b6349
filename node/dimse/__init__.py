"""What both doors, receive and deliver, share of DIMSE and its upper layer."""

from __future__ import annotations

from typing import Final

from pydicom.uid import UID

VERIFICATION: Final = UID("1.2.840.10008.1.1")
"""SOP class of the C-ECHO (PS3.4 Annex A)."""
APPLICATION_CONTEXT: Final = UID("1.2.840.10008.3.1.1.1")
"""The DICOM application context name (PS3.7 Annex A)."""
IMPLEMENTATION_CLASS_UID: Final = UID("2.25.147964205186410929911346430346110284365")
IMPLEMENTATION_VERSION_NAME: Final = "WETREAD"
"""What the node calls itself in associations and file meta information (PS3.7 Section D.3.3.2)."""

ASSOCIATE_RQ: Final = 0x01
ASSOCIATE_AC: Final = 0x02
ASSOCIATE_RJ: Final = 0x03
P_DATA_TF: Final = 0x04
RELEASE_RQ: Final = 0x05
RELEASE_RP: Final = 0x06
ABORT: Final = 0x07
"""Types of PDU (PS3.8 Section 9.3)."""

IS_COMMAND: Final = 0x01
IS_LAST: Final = 0x02
"""Bits of a message control header (PS3.8 Section E.2)."""

C_STORE_RQ: Final = 0x0001
N_EVENT_REPORT_RQ: Final = 0x0100
N_ACTION_RQ: Final = 0x0130
C_ECHO_RQ: Final = 0x0030
C_CANCEL_RQ: Final = 0x0FFF
RESPONSE: Final = 0x8000
"""Command fields; that of a response is its request's with the highest bit set (PS3.7 Annex E)."""
