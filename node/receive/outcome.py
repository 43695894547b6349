"""What an instance is to the index, and what then becomes of its file."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from node.domain import MANUFACTURER, Instance
from node.store.commit import Shelved, Shelving
from node.store.elements import Header
from node.store.leftover import Content, digest_of
from node.store.part import Part
from node.store.standing import Arrival, Receipt

log = structlog.get_logger(__name__)


def shelve(
    part: Part,
    header: Header,
    content: Content,
    digest: str = "",
    durable: Callable[[], None] | None = None,
) -> Shelving:
    """Give a whole part its place, unless it is a result of a node, which gets none.

    Parameters
    ----------
    digest
        Of its data set, where that is known already.
    durable
        Called when the part is synced; None: it is.

    Raises
    ------
    OSError
        If the disk is full or fails.
    """
    own_result = is_marked(header)
    folder = None
    if not own_result:
        digest = digest or digest_of(part.path, content)
        folder = part.publish(digest)
    instance = Instance(
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        transfer_syntax_uid=content.transfer_syntax_uid,
        digest="" if own_result else digest,
        path=part.place,
        size_bytes=content.size_bytes,
        received_at=content.received_at,
        calling_ae_title=content.calling_ae_title,
        attributes=header.attributes,
    )
    arrival = Arrival(instance, header.patient, own_result)
    return Shelving(arrival, folder, None if durable is None else part, durable)


def is_marked(header: Header) -> bool:
    """Whether a header says that a Wetread node, this one or another, has written it."""
    return (
        header.attributes.get("Manufacturer") == MANUFACTURER
        and header.attributes.get("ManufacturerModelName") == MANUFACTURER
    )


def settle(part: Part, shelved: Shelved) -> Receipt:
    """Finish the file of an instance that the index has judged, and log what is out of line."""
    instance, verdict = shelved.instance, shelved.verdict
    if verdict.receipt is Receipt.OWN_RESULT:
        part.withdraw()
        log.info("own_result.returned", sop_instance_uid=instance.sop_instance_uid)
    else:
        part.remove()
    if verdict.receipt is Receipt.QUARANTINED:
        log.warning(
            "instance.quarantined",
            study_instance_uid=instance.study_instance_uid,
            sop_instance_uid=instance.sop_instance_uid,
            reason=verdict.reason,
        )
    elif verdict.receipt is Receipt.NEW_VERSION:
        log.warning(
            "instance.new_version",
            sop_instance_uid=instance.sop_instance_uid,
            standing=verdict.standing.value,
        )
    return verdict.receipt
