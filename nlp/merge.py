"""One finding for each thing a report speaks of, however often it does.

Mentions of one concept are one finding unless their sides, sites or sizes tell them apart. The
impression overrides the findings, an addendum both; within a section the more certain wins, so
that a template's "no effusion" does not hide the effusion that was dictated beside it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nlp.change import change_between
from nlp.concepts import concepts
from nlp.critical import critical_category
from nlp.observe import Observation
from nlp.types import (
    Change,
    Finding,
    Laterality,
    Presence,
    Section,
    Severity,
)

_PRIORITY = {Section.ADDENDUM: 3, Section.IMPRESSION: 2, Section.FINDINGS: 1, Section.UNKNOWN: 1}
_PARTIAL = frozenset({"large", "small", "acute", "tiny"})
"""A denial of these ("no large effusion") leaves room for the others."""
MOST_COMPARED = 100
"""A mention is compared with so many things of its kind, which bounds the time for any text."""


@dataclass(slots=True)
class _Cluster:
    """Mentions of one thing, and one of each sort of them to compare with."""

    all: list[Observation]
    sorts: dict[tuple[object, ...], Observation]

    def takes(self, each: Observation) -> bool:
        """Add a mention if it may be of the same thing as all the others."""
        key = _key(each)
        if key not in self.sorts:
            if not all(_same(other, each) for other in self.sorts.values()):
                return False
            if len(self.sorts) < MOST_COMPARED:
                self.sorts[key] = each
        self.all.append(each)
        return True


def merge(observations: Sequence[Observation]) -> list[Finding]:
    """Merge the observations of one report; findings come in order of the text."""
    by_kind: dict[tuple[object, ...], list[_Cluster]] = defaultdict(list)
    for each in observations:
        clusters = by_kind[_kind(each)]
        for cluster in clusters[:MOST_COMPARED]:
            if cluster.takes(each):
                break
        else:
            clusters.append(_Cluster([each], {_key(each): each}))
    made = [_finding(each.all) for clusters in by_kind.values() for each in clusters]
    return sorted(made, key=lambda finding: (finding.start, finding.end, finding.concept))


def _kind(each: Observation) -> tuple[object, ...]:
    """What is never merged: concept, time, person, and sections that only ask or tell history."""
    return (
        each.concept,
        each.assertion.temporality,
        each.assertion.experiencer,
        _PRIORITY.get(each.section, 0) > 0,
    )


def _key(each: Observation) -> tuple[object, ...]:
    """All that `_same` looks at."""
    given = each.attributes
    sizes = tuple(size.values_mm for size in each.sizes if not size.prior)
    return given.laterality, given.sites, _is_denied(each), each.section, sizes


def _same(one: Observation, other: Observation) -> bool:
    """Whether two mentions may be of one thing."""
    left, right = one.attributes, other.attributes
    if not _sides_agree(left.laterality, right.laterality):
        return False
    if left.sites and right.sites and not set(left.sites) & set(right.sites):
        return False
    if _is_denied(one) != _is_denied(other) and one.section == other.section:
        return _narrowness(one) == _narrowness(other)
    sizes = [{size.values_mm for size in each.sizes if not size.prior} for each in (one, other)]
    return not (all(sizes) and one.section == other.section and not sizes[0] & sizes[1])


def _sides_agree(one: Laterality | None, other: Laterality | None) -> bool:
    return one is None or other is None or one == other or Laterality.BILATERAL in (one, other)


def _is_denied(each: Observation) -> bool:
    return each.assertion.presence.rank <= Presence.UNLIKELY.rank


def _narrowness(each: Observation) -> tuple[bool, bool]:
    return each.attributes.laterality is not None, bool(each.attributes.sites)


def _finding(cluster: list[Observation]) -> Finding:
    ranked = sorted(cluster, key=_weight, reverse=True)
    deciding = ranked[0]
    agreeing = [each for each in ranked if _is_denied(each) == _is_denied(deciding)]
    sizes, before = _sizes(agreeing, prior=False), _sizes(agreeing, prior=True)
    sides = [each.attributes.laterality for each in agreeing if each.attributes.laterality]
    made = Finding(
        concept=deciding.concept,
        codes=concepts()[deciding.concept].codes,
        assertion=deciding.assertion,
        evidence=tuple(each.evidence for each in agreeing),
        laterality=sides[0] if sides and concepts()[deciding.concept].lateral else None,
        sites=_all(agreeing, "sites"),
        severity=_first_severity(agreeing),
        morphology=_all(agreeing, "morphology"),
        sizes_mm=sizes,
        prior_sizes_mm=before,
        change=_first_change(agreeing) or change_between(sizes, before),
    )
    alarm = any(each.alarm for each in agreeing)
    return replace(made, critical_category=critical_category(made, alarm=alarm))


def _weight(each: Observation) -> tuple[int, int, int]:
    """Section first, then certainty, then the order of the text."""
    priority = _PRIORITY.get(each.section, 0)
    if _is_partial(each):
        priority = 0
    return priority, each.assertion.presence.rank, -each.evidence.start


def _is_partial(each: Observation) -> bool:
    """A denial of only some kind or amount, which overrides nothing."""
    given = each.attributes
    return _is_denied(each) and (
        given.severity is not None
        or each.change is Change.NEW
        or not _PARTIAL.isdisjoint(given.morphology)
    )


def _all(cluster: list[Observation], name: str) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(value for each in cluster for value in getattr(each.attributes, name))
    )


def _sizes(cluster: list[Observation], *, prior: bool) -> tuple[tuple[float, ...], ...]:
    return tuple(
        dict.fromkeys(
            size.values_mm for each in cluster for size in each.sizes if size.prior == prior
        )
    )


def _first_severity(cluster: list[Observation]) -> Severity | None:
    return next((s for each in cluster if (s := each.attributes.severity)), None)


def _first_change(cluster: list[Observation]) -> Change | None:
    return next((each.change for each in cluster if each.change), None)
