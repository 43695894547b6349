"""Everything one mention says, before a report's mentions are merged."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nlp.assertion import combine, reaching_cues
from nlp.attributes import Attributes, attributes_of, graded_by_size, with_antecedent
from nlp.change import change_of
from nlp.concepts import concepts, site_of_body_part
from nlp.document import Document, Sentence
from nlp.measure import Measure
from nlp.mentions import Mention, find_mentions
from nlp.types import Assertion, Change, Evidence, Presence, Section

SIZE_SENTENCES = 1
"""A size in a sentence without a mention belongs to a mention at most so many sentences before."""

NEAR = 4
"""A word for a size stands at most so many characters before it."""


@dataclass(slots=True)
class Observation:
    """One mention with all that its sentence, and the sizes of the next, say of it.

    ``alarm``: a word asks for action although it is uncertain ("concerning for").
    """

    concept: str
    evidence: Evidence
    assertion: Assertion
    attributes: Attributes
    change: Change | None
    sizes: list[Measure]
    alarm: bool

    @property
    def section(self) -> Section:
        """Section of the mention."""
        return self.evidence.section


def observe(
    document: Document, *, modality: str | None = None, body_part: str | None = None
) -> list[Observation]:
    """Every mention of a document, in order; for the two, see `nlp.extract.extract_findings`."""
    place = site_of_body_part(body_part)
    made: list[Observation] = []
    last = -1  # number of the sentence that the last observation stands in
    for number, sentence in enumerate(document.sentences):
        mentions = find_mentions(document, sentence, modality)
        attributes, free = attributes_of(document, sentence, mentions)
        if free and number - last <= SIZE_SENTENCES and _goes_on(sentence):
            _give_sizes(made, free)
        elif free and (unnamed := _unnamed(document, sentence, free)):
            made.append(unnamed)
            last = number
        antecedent = made[-1] if made and number - last <= 1 and _goes_on(sentence) else None
        for mention, given in zip(mentions, attributes, strict=True):
            whole = with_antecedent(given, antecedent.attributes) if antecedent else given
            made.append(_observation(document, sentence, mention, whole, place))
            last = number
    return made


def _give_sizes(made: list[Observation], free: list[Measure]) -> None:
    """Sizes in a sentence of their own ("It measures 8 mm.") go to the last that can have one."""
    for each in reversed(made):
        if not _is_denied(each.assertion):
            each.sizes.extend(free)
            return


def _unnamed(document: Document, sentence: Sentence, sizes: list[Measure]) -> Observation | None:
    """A lesion of which a sentence gives no more than the size ("大小约3.4×2.5cm")."""
    sizes = [size for size in sizes if _is_of_a_lesion(sentence, size)]
    if not sizes:
        return None
    start, end = sizes[0].start, sizes[0].end
    made = _observation(
        document,
        sentence,
        Mention("lesion", start, end, start, end),
        Attributes(sizes=tuple(sizes)),
    )
    return replace(made, assertion=Assertion())


def _is_of_a_lesion(sentence: Sentence, size: Measure) -> bool:
    """Whether a word for a size leads to it, or in Chinese several dimensions; no organ does."""
    before = [hit for hit in sentence.terms if 0 <= size.start - hit.end <= NEAR]
    leads = [hit for hit in before if hit.value.kind == "size"]
    start = min((hit.start for hit in leads), default=size.start)
    organ = any(
        hit.value.kind in {"sites", "laterality"} and hit.end == start for hit in sentence.terms
    )
    several = len(size.values_mm) > 1 and sentence.lexicon.language == "zh"
    return not organ and (bool(leads) or several)


def _goes_on(sentence: Sentence) -> bool:
    """Whether a sentence begins with a word for what the one before it spoke of."""
    return any(
        hit.value.kind == "anaphor" and hit.start <= sentence.body + 4 for hit in sentence.terms
    )


def _observation(
    document: Document,
    sentence: Sentence,
    mention: Mention,
    given: Attributes,
    place: str | None = None,
) -> Observation:
    reaching = reaching_cues(document, sentence, mention.head_start, mention.head_end)
    sites = given.sites or ((place,) if place else ())
    concept = concepts()[concepts()[mention.concept].placed(sites)]
    assertion = combine(document, reaching, mention.head_start, sentence)
    if mention.denied:
        assertion = replace(assertion, presence=Presence.ABSENT)
    start = document.folded.to_source(mention.start)
    end = document.folded.end_to_source(mention.end)
    return Observation(
        concept=concept.id,
        evidence=Evidence(start, end, document.source[start:end], sentence.section),
        assertion=assertion,
        attributes=graded_by_size(given) if concept.graded_by_size else given,
        change=change_of(reaching, mention.head_start, mention.head_end),
        sizes=[] if _is_denied(assertion) else list(given.sizes),
        alarm=any(hit.value.alarm for hit in reaching),
    )


def _is_denied(assertion: Assertion) -> bool:
    """What is not there has no size ("no nodule above 5 mm")."""
    return assertion.presence.rank <= Presence.UNLIKELY.rank
