"""What the extractor says: assertions, findings, recommendations, reports.

Every offset counts characters (code points) of the text as it was given, end exclusive;
``text[start:end]`` is the evidence. Every value has one JSON form, made by ``to_json``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Presence(StrEnum):
    """How certainly a report says that something is there; `rank` orders it."""

    ABSENT = "absent"
    UNLIKELY = "unlikely"
    POSSIBLE = "possible"
    PROBABLE = "probable"
    PRESENT = "present"

    @property
    def rank(self) -> int:
        """0 (absent) to 4 (present)."""
        return _RANKS[self]


_RANKS = {presence: rank for rank, presence in enumerate(Presence)}


class Temporality(StrEnum):
    """When, in the sense of the ConText algorithm (Harkema 2009)."""

    RECENT = "recent"
    HISTORICAL = "historical"
    HYPOTHETICAL = "hypothetical"


class Experiencer(StrEnum):
    """Who has it."""

    PATIENT = "patient"
    OTHER = "other"


class Laterality(StrEnum):
    """Which side, of the patient."""

    LEFT = "left"
    RIGHT = "right"
    BILATERAL = "bilateral"


class Severity(StrEnum):
    """How much, in the three grades that reports share."""

    MILD = "mild"
    MODERATE = "moderate"
    SEVERE = "severe"


class Change(StrEnum):
    """Against the prior study."""

    NEW = "new"
    STABLE = "stable"
    LARGER = "larger"
    SMALLER = "smaller"
    RESOLVED = "resolved"


class Section(StrEnum):
    """The part of the report a sentence stands in."""

    INDICATION = "indication"
    HISTORY = "history"
    FAMILY_HISTORY = "family_history"
    TECHNIQUE = "technique"
    COMPARISON = "comparison"
    FINDINGS = "findings"
    IMPRESSION = "impression"
    RECOMMENDATION = "recommendation"
    ADDENDUM = "addendum"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept, in DICOM's three parts (PS3.3 section 8).

    Parameters
    ----------
    scheme
        Coding Scheme Designator: ``SCT``, ``RADLEX`` or ``DCM``.
    value
        Code Value.
    meaning
        Code Meaning.
    """

    scheme: str
    value: str
    meaning: str

    def to_json(self) -> dict[str, str]:
        """The three parts by name."""
        return {"scheme": self.scheme, "value": self.value, "meaning": self.meaning}


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a sentence says about one mention in it."""

    presence: Presence = Presence.PRESENT
    temporality: Temporality = Temporality.RECENT
    experiencer: Experiencer = Experiencer.PATIENT

    def to_json(self) -> dict[str, str]:
        """The three values by name."""
        return {
            "presence": self.presence.value,
            "temporality": self.temporality.value,
            "experiencer": self.experiencer.value,
        }


@dataclass(frozen=True, slots=True)
class Evidence:
    """A stretch of the text, and the section it stands in."""

    start: int
    end: int
    text: str
    section: Section

    def to_json(self) -> dict[str, Any]:
        """Offsets, text and section by name."""
        return {
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "section": self.section.value,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of a report, merged over the places that speak of it.

    Parameters
    ----------
    concept
        Id in ``nlp/data/concepts.yaml``.
    codes
        Its codes; the first is the one to write.
    assertion
        Presence, temporality and experiencer, after merging.
    evidence
        The mentions, the one that decided first.
    laterality
        Side, or None if the report gives none or the concept has none.
    sites
        Ids of anatomic sites, the nearest first.
    severity
        Grade, or None.
    morphology
        Describing words as ids (``spiculated``, ``calcified``…), in order of the text.
    sizes_mm
        Current sizes, each with all its dimensions, in mm, as the text orders them.
    prior_sizes_mm
        Sizes of the prior study, likewise.
    change
        Against the prior study, or None.
    critical_category
        ACR category of actionable findings, 1 (minutes), 2 (hours), 3 (days); or None.
    """

    concept: str
    codes: tuple[Code, ...]
    assertion: Assertion
    evidence: tuple[Evidence, ...]
    laterality: Laterality | None = None
    sites: tuple[str, ...] = ()
    severity: Severity | None = None
    morphology: tuple[str, ...] = ()
    sizes_mm: tuple[tuple[float, ...], ...] = ()
    prior_sizes_mm: tuple[tuple[float, ...], ...] = ()
    change: Change | None = None
    critical_category: int | None = None

    @property
    def presence(self) -> Presence:
        """Shorthand for the assertion's presence."""
        return self.assertion.presence

    @property
    def temporality(self) -> Temporality:
        """Shorthand for the assertion's temporality."""
        return self.assertion.temporality

    @property
    def section(self) -> Section:
        """Section of the mention that decided."""
        return self.evidence[0].section

    @property
    def start(self) -> int:
        """Where the mention that decided begins."""
        return self.evidence[0].start

    @property
    def end(self) -> int:
        """Where it ends, exclusive."""
        return self.evidence[0].end

    @property
    def text(self) -> str:
        """The mention that decided, as written."""
        return self.evidence[0].text

    def to_json(self) -> dict[str, Any]:
        """JSON form, as ``docs/reference/findings-json.md`` describes it."""
        return {
            "concept": self.concept,
            "codes": [code.to_json() for code in self.codes],
            **self.assertion.to_json(),
            "section": self.section.value,
            "laterality": self.laterality and self.laterality.value,
            "sites": list(self.sites),
            "severity": self.severity and self.severity.value,
            "morphology": list(self.morphology),
            "sizes_mm": [list(size) for size in self.sizes_mm],
            "prior_sizes_mm": [list(size) for size in self.prior_sizes_mm],
            "change": self.change and self.change.value,
            "critical_category": self.critical_category,
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "evidence": [each.to_json() for each in self.evidence],
        }


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What the report asks to be done next.

    Parameters
    ----------
    modality
        ``CT``, ``MR``, ``PT``, ``US``, ``XR``, ``MG``, ``biopsy``…; None if the report names none.
    interval_days
        Shortest and longest wait in days (``3-6 months`` is ``(90, 180)``); None if not given.
    condition
        The clause after "if", as written; None if there is none.
    negated
        The report says that no follow-up is needed.
    """

    start: int
    end: int
    text: str
    section: Section
    modality: str | None = None
    interval_days: tuple[int, int] | None = None
    condition: str | None = None
    negated: bool = False

    def to_json(self) -> dict[str, Any]:
        """JSON form, as ``docs/reference/findings-json.md`` describes it."""
        return {
            "modality": self.modality,
            "interval_days": self.interval_days and list(self.interval_days),
            "condition": self.condition,
            "negated": self.negated,
            "section": self.section.value,
            "start": self.start,
            "end": self.end,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class Critical:
    """A finding that somebody must hear of (DICOM CID 7035, ACR actionable findings)."""

    concept: str
    category: int
    start: int
    end: int

    def to_json(self) -> dict[str, Any]:
        """Concept, category and offsets by name."""
        return {
            "concept": self.concept,
            "category": self.category,
            "start": self.start,
            "end": self.end,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one report's text says.

    Parameters
    ----------
    language
        ``en`` or ``zh``: the language of most of the text.
    findings
        In order of the text.
    recommendations
        In order of the text.
    normal_sites
        Ids of the organs that a normal statement covers ("the lungs are clear"): a finding of
        such an organ that the report does not mention is absent, every other is not mentioned.
    """

    language: str
    findings: tuple[Finding, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
    normal_sites: tuple[str, ...] = field(default=())

    @property
    def critical(self) -> tuple[Critical, ...]:
        """The findings with a critical category, the most urgent first."""
        flagged = [
            Critical(each.concept, each.critical_category, each.start, each.end)
            for each in self.findings
            if each.critical_category is not None
        ]
        return tuple(sorted(flagged, key=lambda each: (each.category, each.start)))

    def to_json(self) -> dict[str, Any]:
        """JSON form, as ``docs/reference/findings-json.md`` describes it."""
        return {
            "language": self.language,
            "findings": [each.to_json() for each in self.findings],
            "recommendations": [each.to_json() for each in self.recommendations],
            "critical": [each.to_json() for each in self.critical],
            "normal_sites": list(self.normal_sites),
        }
