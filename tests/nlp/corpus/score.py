"""How well the extractor reads a part of the corpus.

A mention counts as found if a finding of its concept, or of a concept of which it is a kind, has
evidence that shares a character with it; a denied one also if a normal statement covers its organ.
What a finding says of side, size and so on is held against what the marks of its evidence say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from nlp.assertion import assess
from nlp.concepts import ancestors, concepts
from nlp.extract import extract_findings
from nlp.types import Change, Finding, Presence, Report
from tests.nlp.corpus.files import AnnotatedReport
from tests.nlp.corpus.marks import Mention

ATTRIBUTES = ("laterality", "severity", "change", "sizes_mm", "prior_sizes_mm")


@dataclass
class Tally:
    """Counts of one kind of decision.

    Attributes
    ----------
    right, wrong
        Decisions that agree and do not agree with the marks.
    missed
        What the marks have and the extractor has not.
    """

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 if there was nothing to find."""
        total = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / total if total else 1.0

    @property
    def accuracy(self) -> float:
        """Share of the decisions that are right."""
        total = self.right + self.wrong + self.missed
        return self.right / total if total else 1.0


@dataclass
class Score:
    """Tallies by name, and what went wrong, for who looks into it.

    Attributes
    ----------
    tallies
        ``mentions`` (detection), ``presence`` and ``temporality`` (of each mention, by ``assess``),
        the names of `ATTRIBUTES`, ``sections``, ``urgent`` (category 1, per report) and ``advice``.
    errors
        ``(report id, name, what the marks say, what was read)``.
    """

    tallies: dict[str, Tally] = field(default_factory=dict)
    errors: list[tuple[str, str, str, str]] = field(default_factory=list)

    def __getitem__(self, name: str) -> Tally:
        """Tally of a name; an empty one at first."""
        return self.tallies.setdefault(name, Tally())

    def judge(self, report_id: str, name: str, marked: object, read: object) -> None:
        """Count one decision."""
        if marked == read:
            self[name].right += 1
        else:
            self[name].wrong += 1
            self.errors.append((report_id, name, str(marked), str(read)))


def score(reports: Iterable[AnnotatedReport]) -> Score:
    """Read every report and hold what is found against its marks."""
    made = Score()
    for report in reports:
        read = extract_findings(report.text, modality=report.modality, body_part=report.body_part)
        _mentions(made, report, read)
        _assertions(made, report, read)
        for finding in read.findings:
            _attributes(made, report, finding)
        _urgent(made, report, read)
        _advice(made, report, read)
    return made


def is_kind(concept: str, other: str) -> bool:
    """Whether one concept is the other, or a kind of it, or the other way round."""
    return other in ancestors(concept) or concept in ancestors(other)


def _mentions(made: Score, report: AnnotatedReport, read: Report) -> None:
    named = [each for each in report.mentions if each.concept]
    evidence = [(finding, each) for finding in read.findings for each in finding.evidence]
    for mention in named:
        found = any(
            is_kind(finding.concept, mention.concept or "")
            and each.start < mention.end
            and mention.start < each.end
            for finding, each in evidence
        )
        if found or _by_normal_statement(mention, read):
            made["mentions"].right += 1
        else:
            made["mentions"].missed += 1
            words = report.text[mention.start : mention.end]
            made.errors.append((report.id, "missed", f"{mention.concept}: {words}", ""))
    for finding, each in evidence:
        if finding.concept == "abnormality" or each.text[-1:].lower() == "m":
            continue  # "no acute abnormality", and lesions that are only a size, are not marked
        touched = [one for one in report.mentions if one.start < each.end and each.start < one.end]
        if not any(one.concept is None or is_kind(one.concept, finding.concept) for one in touched):
            made["mentions"].wrong += 1
            made.errors.append((report.id, "extra", "", f"{finding.concept}: {each.text}"))


def _by_normal_statement(mention: Mention, read: Report) -> bool:
    organ = concepts()[mention.concept or ""].organ
    return mention.presence == "absent" and organ in read.normal_sites


def _assertions(made: Score, report: AnnotatedReport, found: Report) -> None:
    for mention in report.mentions:
        if mention.concept and _by_normal_statement(mention, found):
            continue  # the words deny a finding without naming it ("heart size is normal")
        read = assess(report.text, mention.start, mention.end)
        words = report.text[max(0, mention.start - 20) : mention.end + 20].replace("\n", " ")
        where = f"{report.text[mention.start : mention.end]} in {words}"
        if mention.temporality != "hypothetical":  # what is only asked for is neither there nor not
            made.judge(
                report.id, "presence", f"{mention.presence} {where}", f"{read.presence} {where}"
            )
        made.judge(
            report.id,
            "temporality",
            f"{mention.temporality} {where}",
            f"{read.temporality} {where}",
        )


def _attributes(made: Score, report: AnnotatedReport, finding: Finding) -> None:
    merged = [
        mention
        for each in finding.evidence
        for mention in report.mentions
        if mention.start < each.end and each.start < mention.end
        if mention.concept and is_kind(mention.concept, finding.concept)
    ]
    if not merged:
        return
    made.judge(report.id, "sections", merged[0].section or "unknown", str(finding.section))
    for name in ATTRIBUTES:
        marked = _marked(merged, name)
        read = getattr(finding, name)
        if name == "laterality" and not marked:
            continue  # a side that other words of the sentence give
        if (marked or read) and not _is_denied(finding):
            made.judge(
                report.id,
                name,
                f"{finding.concept} {_plain(marked)}",
                f"{finding.concept} {_plain(read)}",
            )


def _is_denied(finding: Finding) -> bool:
    """Whether a side, grade or change is only that of a denial ("no new nodule")."""
    return finding.presence is Presence.ABSENT and finding.change is not Change.RESOLVED


def _marked(merged: Sequence[Mention], name: str) -> object:
    values = [getattr(mention, name) for mention in merged]
    if name.endswith("sizes_mm"):
        return tuple(dict.fromkeys(size for sizes in values for size in sizes))
    given = [value for value in values if value]
    return given[0] if given else None


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join("x".join(f"{one:g}" for one in size) for size in sorted(value))
    return str(value) if value else "-"


def _urgent(made: Score, report: AnnotatedReport, read: Report) -> None:
    marked = any(mention.critical_category == 1 for mention in report.mentions)
    flagged = any(critical.category == 1 for critical in read.critical)
    if marked and flagged:
        made["urgent"].right += 1
    elif marked or flagged:
        names = ", ".join(each.concept for each in read.critical if each.category == 1)
        made.errors.append((report.id, "urgent", str(marked), names))
        if flagged:
            made["urgent"].wrong += 1
        else:
            made["urgent"].missed += 1


def _advice(made: Score, report: AnnotatedReport, read: Report) -> None:
    waiting = list(read.recommendations)
    for advice in report.advice:
        found = [one for one in waiting if one.start < advice.end and advice.start < one.end]
        if not found:
            made["advice"].missed += 1
            words = report.text[advice.start : advice.end]
            made.errors.append((report.id, "advice", words, "nothing"))
            continue
        one = found[0]
        days = one.interval_days[0] if one.interval_days else None
        made.judge(
            report.id,
            "advice",
            (advice.needed, advice.modality, advice.interval_days),
            (not one.negated, one.modality, days),
        )


def table(made: Score) -> Iterator[str]:
    """One line per tally."""
    for name, tally in sorted(made.tallies.items()):
        yield (
            f"{name:16} F1 {tally.f1:.3f}  accuracy {tally.accuracy:.3f}  "
            f"right {tally.right} wrong {tally.wrong} missed {tally.missed}"
        )


def kinds_of_errors(made: Score) -> Counter[str]:
    """How many errors there are by name."""
    return Counter(name for _, name, _, _ in made.errors)
