"""What the node says of itself in an association request or its answer (PS3.8 Section 9.3.2.3)."""

from __future__ import annotations

from typing import Any

from pynetdicom.pdu_primitives import (
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)

from node.dimse import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


def user_information(max_pdu_bytes: int) -> list[Any]:
    """Make the user information items: maximum length, implementation class UID and version name.

    Parameters
    ----------
    max_pdu_bytes
        Maximum length of the P-DATA-TF PDUs the node takes.
    """
    length = MaximumLengthNotification()
    length.maximum_length_received = max_pdu_bytes
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return [length, implementation, version]
