"""The words of the node: instances, series, plans, artifacts and the states of a study.

Plain frozen data, no I/O. Times are timezone-aware UTC.
"""

from __future__ import annotations

from node.domain.identifiers import MANUFACTURER, UID_NAMESPACE, derived_uid, digest_of
from node.domain.objects import (
    Artifact,
    DeliveryState,
    ObjectForm,
    Outcome,
    Packing,
    Proof,
    ProofMethod,
    ResultKind,
)
from node.domain.plan import ModelSpec, Plan, PlannedRun
from node.domain.result import Predecessor, ResultContext, Source
from node.domain.study import ENDED, Instance, Series, Standing, StudyState

__all__ = [
    "ENDED",
    "MANUFACTURER",
    "UID_NAMESPACE",
    "Artifact",
    "DeliveryState",
    "Instance",
    "ModelSpec",
    "ObjectForm",
    "Outcome",
    "Packing",
    "Plan",
    "PlannedRun",
    "Predecessor",
    "Proof",
    "ProofMethod",
    "ResultContext",
    "ResultKind",
    "Series",
    "Source",
    "Standing",
    "StudyState",
    "derived_uid",
    "digest_of",
]
