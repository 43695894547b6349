"""One HL7 message: checked, made durable, recorded, and only then accepted.

A message that is used is not kept itself: the text and the digests of what it belongs to are
all that is needed. One that cannot be used is kept whole, in quarantine.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from node.config.model import Storage
from node.config.reports import Hl7Peer
from node.errors import ReportError
from node.metrics import REPORTS_RECEIVED
from node.receive.hl7.acknowledgment import AckCode, Answer, Condition, acknowledgment
from node.report.hl7v2 import Message, read_message, reports_of
from node.reports import ReportWay
from node.store.files import REPORTS, Files
from node.store.report_keeping import keep_documents, log_received
from node.store.report_messages import ReportMessages
from node.store.report_rows import PRIVATE
from node.store.reports import Reports
from node.store.space import Space

log = structlog.get_logger(__name__)

ACCEPTED: Final = Answer(AckCode.ACCEPT)


class MessageKeeper:
    """Keeps messages; safe to use from many threads.

    Parameters
    ----------
    clock
        Gives the current time, timezone-aware.
    """

    def __init__(
        self,
        files: Files,
        reports: Reports,
        messages: ReportMessages,
        storage: Storage,
        clock: Callable[[], datetime],
    ) -> None:
        self._files = files
        self._reports = reports
        self._messages = messages
        self._space = Space(files.data_dir, storage)
        self._clock = clock

    def keep(self, content: bytes, peers: Sequence[Hl7Peer]) -> bytes:
        """Take a message in; return its acknowledgment. Never raises.

        Parameters
        ----------
        content
            Without its MLLP block.
        peers
            Of ``reports.hl7.accept_from``, those whose host it comes from.
        """
        message = None
        try:
            message = read_message(content)
            answer = self._judge(message, content, peers)
        except ReportError as error:
            answer = self._quarantine(message, content, str(error))
        except (OSError, SQLAlchemyError):
            log.exception("message.not_stored")
            answer = _later("disk or database failed; send again later")
        except Exception:  # every message gets an answer
            log.exception("message.failed")
            answer = _later("internal error; see the log of the node")
        REPORTS_RECEIVED.labels(way=ReportWay.HL7, outcome=_OUTCOMES[answer.code]).inc()
        if answer.code is not AckCode.ACCEPT:
            log.warning(
                "message.refused",
                sender="" if message is None else message.sender,
                code=str(answer.code),
                reason=answer.reason,
            )
        return acknowledgment(message, answer, self._clock(), uuid.uuid4().hex[:20])

    def _judge(self, message: Message, content: bytes, peers: Sequence[Hl7Peer]) -> Answer:
        if not any(_is(peer, message) for peer in peers):
            reason = "MSH-3 and MSH-4 are not in reports.hl7.accept_from for this host"
            return Answer(AckCode.REJECT, Condition.APPLICATION_INTERNAL_ERROR, reason)
        code, _, event = message.type.partition("^")
        if code != "ORU":
            reason = "the message type is not ORU"
            return Answer(AckCode.REJECT, Condition.UNSUPPORTED_MESSAGE_TYPE, reason)
        if event != "R01":
            reason = "the trigger event is not R01"
            return Answer(AckCode.REJECT, Condition.UNSUPPORTED_EVENT_CODE, reason)
        if not message.control_id:
            raise ReportError("MSH-10, the message control id, is absent")
        if reason := self._space.refusal():
            return _later(reason)
        digest = hashlib.sha256(content).hexdigest()
        if (problem := self._messages.problem(digest)) is not None:
            return _unusable(problem) if problem else ACCEPTED
        documents = reports_of(message)
        now = self._clock()
        log_received(documents, keep_documents(self._files, self._reports, documents, now))
        self._messages.record(digest, message.sender, message.control_id, "", "", now)
        return ACCEPTED

    def _quarantine(self, message: Message | None, content: bytes, problem: str) -> Answer:
        """Keep a message that cannot be used, so that somebody can look at it."""
        digest = hashlib.sha256(content).hexdigest()
        path = f"{REPORTS}/messages/{digest[:2]}/{digest}.hl7"
        sender, control_id = ("", "") if message is None else (message.sender, message.control_id)
        try:
            if reason := self._space.refusal():
                return _later(reason)
            self._files.write(path, [content], mode=PRIVATE)
            self._messages.record(digest, sender, control_id, path, problem, self._clock())
        except (OSError, SQLAlchemyError):
            log.exception("message.not_stored")
            return _later("disk or database failed; send again later")
        log.warning("message.quarantined", digest=digest[:12], sender=sender, reason=problem)
        return _unusable(problem)


_OUTCOMES: Final = {
    AckCode.ACCEPT: "kept",
    AckCode.ERROR: "quarantined",
    AckCode.REJECT: "rejected",
}


def _is(peer: Hl7Peer, message: Message) -> bool:
    return peer.sending_application in (None, message.sending_application) and (
        peer.sending_facility in (None, message.sending_facility)
    )


def _unusable(problem: str) -> Answer:
    return Answer(AckCode.ERROR, Condition.REQUIRED_FIELD_MISSING, problem)


def _later(reason: str) -> Answer:
    return Answer(AckCode.ERROR, Condition.APPLICATION_INTERNAL_ERROR, reason)
