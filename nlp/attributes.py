"""Side, site, severity, morphology and sizes of the mentions of one sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from nlp.attach import Attachment, share_in_lists
from nlp.concepts import concepts
from nlp.document import Document, Sentence
from nlp.lexicon import TERM_KINDS, Term
from nlp.match import Hit, longest
from nlp.measure import Measure, find_measures
from nlp.mentions import Mention
from nlp.types import Laterality, Severity

_GRADES = (Severity.MILD, Severity.MODERATE, Severity.SEVERE)
_SHARED = frozenset({"laterality", "sites"})


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
    groups = attachment.groups()
    for kind in _SHARED:
        share_in_lists(groups, owned[kind], lambda index: _may_share(mentions[index]))
    sizes: dict[int, list[Measure]] = defaultdict(list)
    free: list[Measure] = []
    for measure in find_measures(
        document.folded.lower, sentence.body, sentence.end, sentence.terms
    ):
        owner = attachment.owner(measure)
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


def laterality_of(sides: Sequence[str]) -> Laterality | None:
    """One side for all that is said: left and right together are bilateral."""
    given = set(sides)
    if "bilateral" in given or {"left", "right"} <= given:
        return Laterality.BILATERAL
    return Laterality(given.pop()) if given else None


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
