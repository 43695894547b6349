"""Mentions of concepts in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nlp.document import Document, Sentence
from nlp.lexicon import Term
from nlp.match import Hit, longest

_BARRIERS = frozenset(",;:.!?()")


@dataclass(frozen=True, slots=True)
class Mention:
    """One place that names a concept; offsets of the folded text.

    Parameters
    ----------
    start, end
        The whole of it: the evidence.
    head_start, head_end
        The word that cues speak of; for a form with a gap ("heart is not enlarged") its second
        side.
    denied
        It is the statement that the organ is normal.
    """

    concept: str
    start: int
    end: int
    head_start: int
    head_end: int
    denied: bool = False


def find_mentions(
    document: Document, sentence: Sentence, modality: str | None = None
) -> list[Mention]:
    """Mentions in order; of overlapping ones the leftmost, then the longest.

    An abbreviation that means something else elsewhere counts in a study of its ``modality``, or,
    if that is not known, in a report that names the examination. A form with a gap says more than
    a word that is the whole of its second side: "肝右叶见囊肿" is a cyst of the liver.
    """
    plain = longest(
        [
            hit
            for hit in sentence.terms
            if hit.value.kind in {"concept", "exclude"}
            and (not hit.value.needs or _is_of(document, hit.value.needs, modality))
        ]
    )
    found: list[Mention] = []
    for mention in _with_gap(document.text, sentence):
        touched = [hit for hit in plain if hit.overlaps(mention.head_start, mention.head_end)]
        if all(_is_whole(hit, mention) for hit in touched):
            found.append(mention)
            plain = [hit for hit in plain if hit not in touched]
    found += [
        Mention(hit.value.id, hit.start, hit.end, hit.start, hit.end)
        for hit in plain
        if hit.value.kind == "concept"
    ]
    found += list(_denied_by_normal(sentence, found))
    found.sort(key=lambda each: (each.head_start, each.head_end, each.start))
    return _once(found)


def _denied_by_normal(sentence: Sentence, found: Sequence[Mention]) -> Iterator[Mention]:
    """What "heart size is normal" says is not there."""
    for hit in longest([hit for hit in sentence.terms if hit.value.kind == "normal"]):
        if any(hit.overlaps(each.head_start, each.head_end) for each in found):
            continue
        for concept in sentence.lexicon.denies[hit.value.id]:
            yield Mention(concept, hit.start, hit.end, hit.start, hit.end, denied=True)


def _is_of(document: Document, needed: str, modality: str | None) -> bool:
    """Whether the study is of a modality, by what was said of it or by its report."""
    if modality is not None:
        return modality.upper() == needed
    return any(
        hit.value.kind == "examination" and hit.value.id == needed
        for sentence in document.sentences
        for hit in sentence.terms
    )


def _is_whole(hit: Hit[Term], mention: Mention) -> bool:
    return hit.value.kind == "concept" and (hit.start, hit.end) == (
        mention.head_start,
        mention.head_end,
    )


def _with_gap(text: str, sentence: Sentence) -> Iterator[Mention]:
    """Forms with a gap: for each second side the nearest first side before it."""
    firsts: dict[int, Hit[Term]] = {}
    verbs = [hit for hit in sentence.winning if hit.value.type in {"verb", "exists"}]
    for hit in sentence.terms:
        if hit.value.kind == "first":
            before = firsts.get(hit.value.pair)
            if before is None or hit.start >= before.end:
                firsts[hit.value.pair] = hit
        elif hit.value.kind == "second":
            first = firsts.get(hit.value.pair)
            if first is None or hit.start < first.end:
                continue
            between = text[first.end : hit.start]
            if len(between) > sentence.lexicon.gap or not _BARRIERS.isdisjoint(between):
                continue
            if sum(first.end <= verb.start < hit.start for verb in verbs) > 1:
                continue  # two clauses: "the heart is normal and the aorta is enlarged"
            yield Mention(hit.value.id, first.start, hit.end, hit.start, hit.end)


def _once(found: Sequence[Mention]) -> list[Mention]:
    """Drop what names the same concept in the same place a second time."""
    kept: list[Mention] = []
    for mention in found:
        if kept and mention.concept == kept[-1].concept and mention.head_start < kept[-1].head_end:
            continue
        kept.append(mention)
    return kept
