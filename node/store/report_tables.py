"""The tables of reports: what came, what it says, and where it contradicts the models.

No column holds what a report says in words, nor an identifier of a person or an order: text lies
in files, identifiers are SHA-256.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table, Text

from node.store.columns import Sentence, Uid, UtcDateTime, metadata

Digest = String(64)

messages = Table(
    "report_messages",
    metadata,
    Column("digest", Digest, primary_key=True),
    Column("sender", String(200), nullable=False),
    Column("control_id", Digest, nullable=False),
    Column("path", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False, index=True),
    Column("problem", Sentence, nullable=False, default=""),
)

reports = Table(
    "reports",
    metadata,
    Column("report_key", Digest, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("way", String(16), nullable=False),
    Column("sender", String(200), nullable=False),
    Column("status", String(16), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("reason", Sentence, nullable=False, default=""),
    Column("current", Boolean, nullable=False),
    Column("released", Boolean, nullable=False, default=False),
    # The study that the document names, and the one it was joined to.
    Column("named_study", Uid, nullable=False, default="", index=True),
    Column("study_instance_uid", Uid, nullable=False, default="", index=True),
    Column("patients", Text, nullable=False, default=""),
    Column("modality", String(16), nullable=False, default=""),
    Column("source_uid", Uid, nullable=False, default="", index=True),
    Column("predecessor_uid", Uid, nullable=False, default="", index=True),
    Column("text_path", Text, nullable=False),
    Column("text_sha256", Digest, nullable=False),
    Column("reported_at", UtcDateTime),
    Column("received_at", UtcDateTime, nullable=False, index=True),
    Column("findings_path", Text, nullable=False, default=""),
    Column("language", String(8), nullable=False, default=""),
    Column("tries", Integer, nullable=False, default=0),
)

accessions = Table(
    "report_accessions",
    metadata,
    Column("report_key", Digest, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("accession", Digest, primary_key=True, index=True),
)

findings = Table(
    "report_findings",
    metadata,
    Column("report_key", Digest, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("concept", String(64), nullable=False, index=True),
    Column("presence", String(16), nullable=False),
    Column("temporality", String(16), nullable=False),
    Column("laterality", String(16), nullable=False, default=""),
    Column("section", String(32), nullable=False, default=""),
    Column("change", String(16), nullable=False, default=""),
    Column("critical_category", Integer),
    Column("start", Integer, nullable=False),
    Column("end", Integer, nullable=False),
)

# One row per study that the node has looked at for reports: what of it they can be joined by.
readings = Table(
    "readings",
    metadata,
    Column("study_instance_uid", Uid, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("accession", Digest, nullable=False, default="", index=True),
    Column("patient", Digest, nullable=False, default=""),
    Column("modality", String(16), nullable=False, default=""),
    Column("body_part", String(64), nullable=False, default=""),
    # Of all that was compared last; another one means: compare again.
    Column("compared", Digest, nullable=False, default=""),
    Column("due", Boolean, nullable=False, default=True, index=True),
    Column("tries", Integer, nullable=False, default=0),
    Column("problem", Sentence, nullable=False, default=""),
)

comparisons = Table(
    "comparisons",
    metadata,
    Column("study_instance_uid", Uid, primary_key=True),
    Column("model", String(128), primary_key=True),
    Column("concept", String(64), primary_key=True),
    Column("laterality", String(16), primary_key=True),
    Column("outcome", String(16), nullable=False),
    Column("reported", String(32), nullable=False),
    Column("modelled", String(16), nullable=False),
    Column("value", Float),
    Column("measure", String(16), nullable=False, default=""),
    Column("report_key", Digest, nullable=False, default=""),
    Column("report_revision", Integer, nullable=False, default=0),
    Column("run_key", Digest, nullable=False),
    Column("compared_at", UtcDateTime, nullable=False),
    Index("ix_comparisons_model", "model", "compared_at"),
)

discordances = Table(
    "discordances",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("study_instance_uid", Uid, nullable=False, index=True),
    Column("model", String(128), nullable=False),
    Column("concept", String(64), nullable=False),
    Column("laterality", String(16), nullable=False, default=""),
    Column("outcome", String(16), nullable=False),
    Column("reported", String(32), nullable=False),
    Column("value", Float),
    Column("measure", String(16), nullable=False, default=""),
    Column("report_key", Digest, nullable=False),
    Column("report_revision", Integer, nullable=False),
    Column("run_key", Digest, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("reason", Sentence, nullable=False, default=""),
    Column("verdict", String(32), nullable=False, default=""),
    Column("opened_at", UtcDateTime, nullable=False, index=True),
    Column("ended_at", UtcDateTime),
    Column("notified_at", UtcDateTime),
    Column("notify_tries", Integer, nullable=False, default=0),
    Column("next_notify_at", UtcDateTime),
)
