"""STOW-RS to an origin server, and QIDO-RS for what it holds (PS3.18 Sections 10.5 and 10.6).

One instance for each request, so that each has its own answer: what is recorded as delivered
is what the server has said of this object. The file goes from the disk to the socket in
blocks; its data set is neither read nor changed.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final
from urllib.parse import urlencode

from node.config.destination import DicomwebDestination
from node.deliver.answer import judge
from node.deliver.http import Answer, Client
from node.deliver.negotiation import Key
from node.deliver.objects import DicomFile
from node.deliver.query import MOST_INSTANCES
from node.domain import DeliveryState, Outcome
from node.errors import Away, PermanentError, TransientError

BLOCK_BYTES: Final = 262144
PAGE: Final = 500
"""Instances asked for at once."""

_JSON: Final = "application/dicom+json"
_FAILED_SOP_SEQUENCE: Final = "00081198"
_REFERENCED_SOP_SEQUENCE: Final = "00081199"
_REFERENCED_SOP_INSTANCE_UID: Final = "00081155"
_FAILURE_REASON: Final = "00081197"
_WARNING_REASON: Final = "00081196"
_SOP_INSTANCE_UID: Final = "00080018"

_NOT_LET_IN: Final = (401, 403, 407)
_NOT_THERE: Final = (404, 405, 410, 501)
_MAY_PASS: Final = (408, 425, 429)


class Link:
    """The way to one origin server. Not thread-safe."""

    def __init__(self, destination: DicomwebDestination) -> None:
        self._client = Client(destination)

    def expect(self, keys: Iterable[Key]) -> None:
        """Nothing is negotiated: the server says of each object whether it takes it."""

    def store(self, file: DicomFile) -> Outcome:
        """Send one file and say what became of it.

        Raises
        ------
        Away
            If the server cannot be reached, does not let the node in, or has no STOW-RS there.
        TransientError
            If the connection breaks, or the server fails. It may or may not have the object.
        """
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        try:
            size = file.path.stat().st_size
        except FileNotFoundError as error:
            raise PermanentError(f"{file.path.name} is gone from the disk") from error
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(len(head) + size + len(tail)),
            "Accept": _JSON,
        }
        body = _blocks(file, head, tail)
        answer = self._client.request("POST", "/studies", headers=headers, body=body)
        return outcome_of(answer, file.sop_instance_uid, self._client.name)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def held(
    destination: DicomwebDestination, study_instance_uid: str, series: Collection[str]
) -> set[str]:
    """Ask which instances of these series a server holds (QIDO-RS, PS3.18 Section 10.6).

    Returns
    -------
    set of str
        Their SOP Instance UIDs.

    Raises
    ------
    Away, TransientError
        As `Link.store`.
    PermanentError
        If the server has no such service, or its answer cannot be read.
    """
    client = Client(destination)
    try:
        return {
            uid
            for series_instance_uid in sorted(series)
            for uid in _instances(client, study_instance_uid, series_instance_uid)
        }
    finally:
        client.close()


def verify(destination: DicomwebDestination) -> None:
    """Check that the server answers a QIDO-RS request.

    Raises
    ------
    TransientError
        If it does not.
    """
    client = Client(destination)
    try:
        answer = client.request("GET", "/studies?limit=1", headers={"Accept": _JSON})
        _check(answer, client.name, "QIDO-RS")
        if answer.status not in (200, 204):
            raise TransientError(f"{client.name} answers QIDO-RS with HTTP {answer.status}")
    finally:
        client.close()


def outcome_of(answer: Answer, sop_instance_uid: str, name: str) -> Outcome:
    """Say what the answer to a STOW-RS request of one instance means (PS3.18 Section 10.5.3).

    Raises
    ------
    Away
        If the server does not let the node in, or has no such service: no object is at fault.
    TransientError
        If the server fails; that may be the object's fault or not.
    """
    _check(answer, name, "STOW-RS")
    said = _json(answer)
    if (failed := _item(said, _FAILED_SOP_SEQUENCE, sop_instance_uid)) is not None:
        reason = _value(failed, _FAILURE_REASON)
        status = reason if isinstance(reason, int) else 0x0110
        return judge(status or 0x0110)
    if answer.status == 200:
        return Outcome(DeliveryState.DELIVERED, 0x0000, "")
    stored = _item(said, _REFERENCED_SOP_SEQUENCE, sop_instance_uid)
    if answer.status == 202 and stored is not None:
        warning = _value(stored, _WARNING_REASON)
        status = warning if isinstance(warning, int) else 0x0000
        return judge(status) if status else Outcome(DeliveryState.DELIVERED, 0x0000, "")
    reason = f"refused with HTTP {answer.status}"
    return Outcome(DeliveryState.FAILED, None, reason, answer.status == 415)


def _check(answer: Answer, name: str, service: str) -> None:
    status = answer.status
    if status in _NOT_LET_IN:
        raise Away(f"{name} does not let the node in (HTTP {status})")
    if status in _NOT_THERE or 300 <= status < 400:
        raise Away(f"{name} has no {service} there (HTTP {status})")
    if status >= 500 or status in _MAY_PASS:
        raise TransientError(f"{name} failed with HTTP {status}")


def _instances(client: Client, study_instance_uid: str, series_instance_uid: str) -> set[str]:
    path = f"/studies/{study_instance_uid}/series/{series_instance_uid}/instances"
    listed: set[str] = set()
    offset = 0
    while True:
        asked = urlencode({"includefield": _SOP_INSTANCE_UID, "limit": PAGE, "offset": offset})
        answer = client.request("GET", f"{path}?{asked}", headers={"Accept": _JSON})
        if answer.status in (204, 404):  # 404: some servers say so of a series they do not have
            return listed
        _check(answer, client.name, "QIDO-RS")
        page = _json(answer)
        if answer.status != 200 or not isinstance(page, list):
            raise PermanentError(f"{client.name} answers QIDO-RS with HTTP {answer.status}")
        found = {uid for each in page if isinstance(uid := _value(each, _SOP_INSTANCE_UID), str)}
        if len(page) < PAGE or found <= listed:  # some servers give the whole list every time
            return listed | found
        listed |= found
        if len(listed) > MOST_INSTANCES:
            raise TransientError(f"{client.name} lists more than {MOST_INSTANCES} instances")
        offset += len(page)


def _blocks(file: DicomFile, head: bytes, tail: bytes) -> Iterator[bytes]:
    yield head
    with file.path.open("rb", buffering=0) as stream:
        while block := stream.read(BLOCK_BYTES):
            yield block
    yield tail


def _json(answer: Answer) -> Any:
    if not answer.content_type.endswith("json"):
        return None
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def _item(said: Any, sequence: str, sop_instance_uid: str) -> Any:
    """The item of a sequence that is about one instance."""
    for one in said if isinstance(said, list) else [said]:
        values = one.get(sequence) if isinstance(one, dict) else None
        items = values.get("Value") if isinstance(values, dict) else None
        for item in items if isinstance(items, list) else ():
            if _value(item, _REFERENCED_SOP_INSTANCE_UID) == sop_instance_uid:
                return item
    return None


def _value(item: Any, tag: str) -> Any:
    """The first value of an element in the DICOM JSON Model (PS3.18 Annex F)."""
    element = item.get(tag) if isinstance(item, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values[0] if isinstance(values, list) and values else None
