"""Rows of the index, with one visible difference."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from node.domain import Artifact, Instance, Plan, PlannedRun, ResultKind

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def instance(number: int = 1, **difference: Any) -> Instance:
    """One CT instance of study 1.2.3, series 1.2.3.1."""
    plain = Instance(
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.1",
        sop_instance_uid=f"1.2.3.1.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        digest=f"{number:064x}",
        path=f"instances/{number}.dcm",
        size_bytes=1000,
        received_at=NOON,
        calling_ae_title="CT1",
        attributes={"Modality": "CT", "Rows": 8, "Columns": 8},
    )
    return replace(plain, **difference)


def plan(**difference: Any) -> Plan:
    """A plan of one run over one image."""
    run = PlannedRun(
        rule="CT",
        model="ct-lungs",
        model_version="1.0.0",
        model_digest="d" * 64,
        series_instance_uid="1.2.3.1",
        sop_instance_uids=("1.2.3.1.1",),
        instance_digests=(f"{1:064x}",),
        inputs_digest="e" * 64,
        destinations=("pacs",),
    )
    plain = Plan("1.2.3", 1, "c" * 64, (run,), ("localizer left out",))
    return replace(plain, **difference)


def artifact(number: int = 1, **difference: Any) -> Artifact:
    """One written object."""
    plain = Artifact(
        sop_instance_uid=f"2.25.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4",
        series_instance_uid="2.25.100",
        study_instance_uid="1.2.3",
        revision=1,
        kind=ResultKind.SEG,
        model="ct-lungs@1.0.0",
        path=f"results/{number}.dcm",
        sha256="f" * 64,
        destinations=("pacs",),
    )
    return replace(plain, **difference)
