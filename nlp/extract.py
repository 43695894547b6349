"""Findings from the text of a report."""

from __future__ import annotations

from nlp.critical import QUIET_SECTIONS
from nlp.document import Document, read_document
from nlp.errors import LexiconError
from nlp.lexicon import LANGUAGES
from nlp.match import longest
from nlp.merge import merge
from nlp.observe import observe
from nlp.recommend import find_recommendations
from nlp.types import Report


def extract_findings(
    text: str,
    *,
    modality: str | None = None,
    body_part: str | None = None,
    language: str | None = None,
) -> Report:
    """Read a report.

    Parameters
    ----------
    text
        The report, with or without headings; any length, linear time.
    modality
        DICOM Modality, for abbreviations that mean something else elsewhere ("PE" in CT). None: an
        examination that the report names.
    body_part
        DICOM Body Part Examined: where a finding is whose sentence names no site ("metastases" in
        a BRAIN are brain metastases).
    language
        ``en`` or ``zh``; None finds out, sentence by sentence.

    Raises
    ------
    LexiconError
        There is no lexicon for the language.
    """
    if language is not None and language not in LANGUAGES:
        raise LexiconError(f"no lexicon for {language!r}; there are {', '.join(LANGUAGES)}")
    document = read_document(text, language)
    return Report(
        language=document.language,
        findings=tuple(merge(observe(document, modality=modality, body_part=body_part))),
        recommendations=tuple(find_recommendations(document)),
        normal_sites=_normal_sites(document),
    )


def _normal_sites(document: Document) -> tuple[str, ...]:
    """The organs that normal statements cover."""
    covered: dict[str, None] = {}
    for sentence in document.sentences:
        if sentence.section in QUIET_SECTIONS:
            continue
        hits = longest([hit for hit in sentence.terms if hit.value.kind == "normal"])
        for hit in hits:
            covered |= dict.fromkeys(sentence.lexicon.covers[hit.value.id])
    return tuple(covered)
