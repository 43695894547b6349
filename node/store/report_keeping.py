"""Documents → durable text files and rows, in this order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

import structlog

from node.reports import ReportDocument
from node.store.files import Files
from node.store.report_arrivals import TakenIn
from node.store.report_rows import PRIVATE, report_key, text_path
from node.store.reports import Reports

log = structlog.get_logger(__name__)


def keep_documents(
    files: Files, reports: Reports, documents: Sequence[ReportDocument], now: datetime
) -> list[TakenIn]:
    """Write each text to a file of its own, then record all documents in one transaction.

    A crash between the two leaves a file that the next try writes again, the same.

    Raises
    ------
    OSError, sqlalchemy.exc.SQLAlchemyError
        If disk or database fail; nothing is recorded then.
    """
    taken = []
    for document in documents:
        content = document.text.encode("utf-8", errors="replace")
        digest = hashlib.sha256(content).hexdigest()
        path = text_path(report_key(document), digest)
        files.write(path, [content], mode=PRIVATE)
        taken.append((document, path, digest))
    return reports.take_in(taken, now)


def log_received(documents: Sequence[ReportDocument], results: Sequence[TakenIn]) -> None:
    """Log what came, one line for each document; for those that nobody watches."""
    for document, result in zip(documents, results, strict=True):
        log.info(
            "report.received",
            report=result.report_key[:12],
            revision=result.revision,
            way=str(document.way),
            sender=document.sender,
            status=str(document.status),
            repeated=not result.is_new,
        )
