"""What a model's result says of the findings that its package names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engines.package.manifest import ReportedFinding
from engines.types import ClassificationResult, Result, SegmentationResult
from nlp.concepts import concepts
from node.config.reports import FindingThreshold
from node.plan.agreement import Call, ModelSays, Question, call_of

_MEASUREMENTS = {"volume_ml": "volume", "area_mm2": "area"}


def answers(
    result: Result,
    findings: tuple[ReportedFinding, ...],
    thresholds: Mapping[str, FindingThreshold],
    model: str,
    run_key: str,
) -> Iterator[ModelSays]:
    """Answer each question that a package says it answers.

    Parameters
    ----------
    findings
        Of the package's manifest.
    thresholds
        Of the rule, by concept; they count before the package's.
    """
    known = concepts()
    for finding in findings:
        concept = known.get(finding.concept)
        organ = "" if concept is None else concept.organ or ""
        question = Question(finding.concept, organ, finding.laterality or "")
        value = measured(result, finding)
        own = thresholds.get(finding.concept)
        limits = finding if own is None else own
        call = (
            Call.UNDECIDED
            if value is None
            else call_of(value, limits.present_from, limits.absent_below)
        )
        yield ModelSays(model, question, call, value, finding.measure, run_key)


def measured(result: Result, finding: ReportedFinding) -> float | None:
    """Value of one finding in one result; None where the result does not have it."""
    if isinstance(result, ClassificationResult):
        return next((s.probability for s in result.scores if s.name == finding.class_), None)
    if not isinstance(result, SegmentationResult) or finding.label is None:
        return None
    voxels = int(result.voxel_counts[finding.label])
    if finding.measure == "voxels" or voxels == 0:
        return float(voxels)
    wanted = _MEASUREMENTS.get(finding.measure)
    return next(
        (
            one.value
            for one in result.measurements
            if one.label == finding.label and one.name == wanted
        ),
        None,
    )
