"""Side, site, severity, morphology and sizes of the mentions of one sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nlp.attach import Attachment, share_in_lists
from nlp.concepts import concepts
from nlp.document import Document, Sentence
from nlp.lexicon import PAIRED, TERM_KINDS, Term
from nlp.match import Hit, longest
from nlp.measure import Measure, find_measures
from nlp.mentions import Mention
from nlp.types import Laterality, Severity

_GRADES = (Severity.MILD, Severity.MODERATE, Severity.SEVERE)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a sentence says about one mention beside its assertion; see `nlp.types.Finding`."""

    laterality: Laterality | None = None
    sites: tuple[str, ...] = ()
    severity: Severity | None = None
    morphology: tuple[str, ...] = ()
    sizes: tuple[Measure, ...] = ()


def attributes_of(
    document: Document, sentence: Sentence, mentions: Sequence[Mention]
) -> tuple[list[Attributes], list[Measure]]:
    """Attributes of each mention, and the sizes that no mention of the sentence owns."""
    attachment = Attachment(document.text, sentence, mentions)
    owned = {kind: _owned(kind, sentence, attachment) for kind in TERM_KINDS}
    _share(owned, attachment, mentions)
    _take_nearest_side(owned["laterality"], sentence, mentions)
    sizes: dict[int, list[Measure]] = defaultdict(list)
    free: list[Measure] = []
    for measure in find_measures(
        document.folded.lower, sentence.body, sentence.end, sentence.terms
    ):
        owner = attachment.owner_of_size(measure)
        (free if owner is None else sizes[owner]).append(measure)
    made = [
        Attributes(
            laterality=laterality_of(owned["laterality"].get(index, [])),
            sites=tuple(dict.fromkeys(owned["sites"].get(index, []))),
            severity=_severity(owned["severity"].get(index, [])),
            morphology=tuple(dict.fromkeys(owned["morphology"].get(index, []))),
            sizes=tuple(sizes[index]),
        )
        for index, mention in enumerate(mentions)
    ]
    return made, free


def with_antecedent(given: Attributes, antecedent: Attributes) -> Attributes:
    """What a sentence that begins with "this" leaves out, it takes from the one before it."""
    return replace(
        given,
        laterality=given.laterality or antecedent.laterality,
        sites=given.sites or antecedent.sites,
        severity=given.severity or antecedent.severity,
    )


def graded_by_size(given: Attributes) -> Attributes:
    """A small effusion is mild, a large one severe, unless a grade is named."""
    if given.severity is not None:
        return given
    if "large" in given.morphology:
        return replace(given, severity=Severity.SEVERE)
    return replace(given, severity=Severity.MILD) if "small" in given.morphology else given


def laterality_of(sides: Sequence[str]) -> Laterality | None:
    """One side for all that is said: left and right together are bilateral."""
    given = set(sides)
    if "bilateral" in given or {"left", "right"} <= given or given == {PAIRED}:
        return Laterality.BILATERAL
    given.discard(PAIRED)
    return Laterality(given.pop()) if given else None


def _share(
    owned: dict[str, dict[int, list[str]]], attachment: Attachment, mentions: Sequence[Mention]
) -> None:
    """Hand on what one mention has to those that mean the same place, or the same thing."""
    for kind in ("laterality", "sites"):
        share_in_lists(attachment.groups(), owned[kind], lambda index: _may_share(mentions[index]))
    alternatives = attachment.groups(alternatives=True)
    share_in_lists(alternatives, owned["severity"], lambda index: True)
    for index in range(len(mentions)):
        sign = attachment.explains(index)
        if sign is None:
            continue
        for kind in ("laterality", "sites", "severity"):
            if not owned[kind].get(index) and owned[kind].get(sign):
                owned[kind][index] = list(owned[kind][sign])


def _take_nearest_side(
    owned: dict[int, list[str]], sentence: Sentence, mentions: Sequence[Mention]
) -> None:
    """A mention without a side takes the nearest that its sentence names, first before it."""
    sides = _hits("laterality", sentence)
    for index, mention in enumerate(mentions):
        if owned.get(index) or not sides or not _may_share(mention):
            continue
        nearest = min(
            sides, key=lambda side: (side.start >= mention.end, abs(side.start - mention.start))
        )
        owned[index] = [nearest.value.id]


def _owned(kind: str, sentence: Sentence, attachment: Attachment) -> dict[int, list[str]]:
    owned: dict[int, list[str]] = defaultdict(list)
    for hit in _hits(kind, sentence):
        owner = attachment.owner(hit)
        if owner is not None:
            owned[owner].append(hit.value.id)
    return owned


def _hits(kind: str, sentence: Sentence) -> list[Hit[Term]]:
    return longest(
        [hit for hit in sentence.terms if hit.value.kind == kind and hit.start >= sentence.body]
    )


def _may_share(mention: Mention) -> bool:
    return concepts()[mention.concept].lateral


def _severity(grades: Sequence[str]) -> Severity | None:
    """The worst grade named: "mild to moderate" is moderate."""
    given = [Severity(each) for each in grades]
    return max(given, key=_GRADES.index, default=None)
