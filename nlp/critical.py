"""Which findings somebody must hear of, and how soon (ACR actionable findings, Larson 2014)."""

from __future__ import annotations

from nlp.concepts import concepts
from nlp.types import Change, Experiencer, Finding, Presence, Section, Temporality

QUIET_SECTIONS = frozenset(
    {
        Section.INDICATION,
        Section.HISTORY,
        Section.FAMILY_HISTORY,
        Section.TECHNIQUE,
        Section.COMPARISON,
        Section.RECOMMENDATION,
    }
)
"""What stands there is asked, known or old; it never flags."""
LEAST_URGENT = 3
OLD = frozenset({"chronic", "old", "healed", "remote"})


def critical_category(finding: Finding, *, alarm: bool) -> int | None:
    """ACR category of a merged finding; None if nobody must be told.

    A finding that a later section denies has lost its presence in merging, and is not flagged.
    What was there before and is stable or smaller is a category less urgent. One that is only
    possible counts if the words ask for action (``alarm``: "concerning for").
    """
    if not _is_current(finding, alarm=alarm) or not OLD.isdisjoint(finding.morphology):
        return None
    for rule in concepts()[finding.concept].critical:
        if not rule.when or any(_holds(condition, finding) for condition in rule.when):
            return _eased(rule.category, finding.change)
    return None


def _eased(category: int, change: Change | None) -> int | None:
    """Somebody knows of what is stable or smaller: one category less urgent, of 3 none."""
    if change not in {Change.STABLE, Change.SMALLER}:
        return category
    return category + 1 if category < LEAST_URGENT else None


def _is_current(finding: Finding, *, alarm: bool) -> bool:
    least = Presence.POSSIBLE if alarm else Presence.PROBABLE
    return (
        finding.presence.rank >= least.rank
        and finding.temporality is Temporality.RECENT
        and finding.assertion.experiencer is Experiencer.PATIENT
        and finding.section not in QUIET_SECTIONS
        and finding.change is not Change.RESOLVED
    )


def _holds(condition: str, finding: Finding) -> bool:
    if condition.startswith(">"):
        return any(max(size) > float(condition[1:]) for size in finding.sizes_mm)
    return (
        condition == finding.severity
        or condition == finding.change
        or condition in finding.morphology
        or condition in finding.sites
    )
