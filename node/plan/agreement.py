"""What a report says × what a model says → agree, contradict, or cannot be compared.

Pure. "Not mentioned" is not "absent", except where a normal statement covers the organ; what is
only possible, or in between two thresholds, is compared with nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SAID_TO_BE_THERE: Final = frozenset({"present", "probable"})
SAID_NOT_TO_BE_THERE: Final = frozenset({"absent", "unlikely"})


class Call(StrEnum):
    """What one side says of a finding."""

    PRESENT = "present"
    ABSENT = "absent"
    UNDECIDED = "undecided"
    """Only possible, or between the thresholds."""
    NOT_MENTIONED = "not mentioned"


class Outcome(StrEnum):
    """What the two sides come to."""

    AGREE = "agree"
    REPORT_ONLY = "report only"
    """The report says that it is there, the model that it is not."""
    MODEL_ONLY = "model only"
    """The model says that it is there, the report that it is not."""
    NOT_COMPARABLE = "not comparable"

    @property
    def is_discordant(self) -> bool:
        """Whether the two contradict each other."""
        return self in (Outcome.REPORT_ONLY, Outcome.MODEL_ONLY)


@dataclass(frozen=True)
class Mention:
    """One finding of a report, as far as it matters here.

    Parameters
    ----------
    concepts
        The concept and everything that it is a kind of.
    presence
        ``absent``, ``unlikely``, ``possible``, ``probable``, ``present``.
    counts
        False for what was once, might be, or is somebody else's.
    laterality
        ``left``, ``right``, ``bilateral`` or empty.
    """

    concepts: frozenset[str]
    concept: str
    presence: str
    counts: bool
    laterality: str = ""


@dataclass(frozen=True)
class ReportSays:
    """One report that counts.

    Parameters
    ----------
    normal_organs
        That a normal statement covers.
    """

    report_key: str
    revision: int
    mentions: tuple[Mention, ...]
    normal_organs: frozenset[str]


@dataclass(frozen=True)
class Question:
    """One finding that a model speaks of.

    Parameters
    ----------
    organ
        Of the concept; empty if it has none.
    laterality
        Side that the model's label is about; empty: either.
    """

    concept: str
    organ: str
    laterality: str = ""


@dataclass(frozen=True)
class ModelSays:
    """One answer of one model on one case.

    Parameters
    ----------
    value, measure
        What the call was made from, such as 12.5 ``volume_ml``; None where nothing was measured.
    """

    model: str
    question: Question
    call: Call
    value: float | None
    measure: str
    run_key: str


@dataclass(frozen=True)
class Comparison:
    """One finding, both sides, and what they come to.

    Parameters
    ----------
    reported, modelled
        The two calls.
    report_key, report_revision
        Of the report that decided; empty and 0 where none mentions it.
    """

    model: str
    concept: str
    laterality: str
    outcome: Outcome
    reported: Call
    modelled: Call
    value: float | None
    measure: str
    report_key: str
    report_revision: int
    run_key: str


def compare(reports: Sequence[ReportSays], answers: Sequence[ModelSays]) -> list[Comparison]:
    """Hold what the reports of a study say against what its models say.

    Parameters
    ----------
    reports
        Those that count, in the order in which they were written: a later one that speaks of a
        finding counts before an earlier one.
    answers
        Of all models on all cases. Where a model answers a question for several cases, it is
        there if it is there in one of them, and not there only if it is in none.

    Returns
    -------
    list of Comparison
        One for each model and question, by model, concept and side.
    """
    grouped: dict[tuple[str, Question], list[ModelSays]] = {}
    for answer in answers:
        grouped.setdefault((answer.model, answer.question), []).append(answer)
    found = [
        _compare(reports, question, _strongest(group)) for (_, question), group in grouped.items()
    ]
    return sorted(found, key=lambda one: (one.model, one.concept, one.laterality))


def call_of(value: float, present_from: float, absent_below: float | None) -> Call:
    """Turn a measured value into a call; between the two thresholds it is undecided."""
    if value >= present_from and value > 0:
        return Call.PRESENT
    if absent_below is None or value < absent_below or value <= 0:
        return Call.ABSENT
    return Call.UNDECIDED


def _strongest(answers: Sequence[ModelSays]) -> ModelSays:
    order = (Call.PRESENT, Call.UNDECIDED, Call.ABSENT, Call.NOT_MENTIONED)
    return min(answers, key=lambda one: (order.index(one.call), -(one.value or 0.0), one.run_key))


def _compare(reports: Sequence[ReportSays], question: Question, answer: ModelSays) -> Comparison:
    reported, source = Call.NOT_MENTIONED, None
    for report in reversed(reports):
        reported = reported_call(report, question)
        if reported is not Call.NOT_MENTIONED:
            source = report
            break
    return Comparison(
        model=answer.model,
        concept=question.concept,
        laterality=question.laterality,
        outcome=_OUTCOMES.get((reported, answer.call), Outcome.NOT_COMPARABLE),
        reported=reported,
        modelled=answer.call,
        value=answer.value,
        measure=answer.measure,
        report_key="" if source is None else source.report_key,
        report_revision=0 if source is None else source.revision,
        run_key=answer.run_key,
    )


def reported_call(report: ReportSays, question: Question) -> Call:
    """What one report says of a finding, its kinds included.

    One that is there outweighs others that are not: of "no left, but a right pneumothorax" the
    answer to "pneumothorax?" is yes. That a kind is absent says nothing of the whole: "no tension
    pneumothorax" leaves open whether there is one.
    """
    calls = {_call(mention, question) for mention in report.mentions if mention.counts}
    for call in (Call.PRESENT, Call.UNDECIDED, Call.ABSENT):
        if call in calls:
            return call
    if question.organ and question.organ in report.normal_organs:
        return Call.ABSENT
    return Call.NOT_MENTIONED


def _call(mention: Mention, question: Question) -> Call:
    if question.concept not in mention.concepts:
        return Call.NOT_MENTIONED
    if mention.presence in SAID_NOT_TO_BE_THERE:
        whole = mention.concept == question.concept
        side = mention.laterality in ("", "bilateral", question.laterality)
        return Call.ABSENT if whole and side else Call.NOT_MENTIONED
    if question.laterality and mention.laterality not in ("bilateral", question.laterality):
        # Without a side it may be this one; with the other one it says nothing of this one.
        return Call.NOT_MENTIONED if mention.laterality else Call.UNDECIDED
    return Call.PRESENT if mention.presence in SAID_TO_BE_THERE else Call.UNDECIDED


_OUTCOMES: Final[Mapping[tuple[Call, Call], Outcome]] = {
    (Call.PRESENT, Call.PRESENT): Outcome.AGREE,
    (Call.ABSENT, Call.ABSENT): Outcome.AGREE,
    (Call.PRESENT, Call.ABSENT): Outcome.REPORT_ONLY,
    (Call.ABSENT, Call.PRESENT): Outcome.MODEL_ONLY,
}
