"""One language's lexicon: words for concepts, cues, attributes, sites and headings.

The format is described in ``docs/reference/lexicon.md``. A lexicon is loaded once per process,
when the first text of its language comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from nlp.concepts import concepts
from nlp.data import read_yaml
from nlp.errors import LexiconError
from nlp.forms import expand, matching_form, split_gap
from nlp.match import Matcher
from nlp.types import Change, Laterality, Presence, Section, Severity

LANGUAGES = ("en", "zh")

CUE_TYPES = frozenset(
    {"presence", "historical", "hypothetical", "recent", "other", "change", "pseudo", "stop",
     "verb", "exists", "join", "either"}
)  # fmt: skip
DIRECTIONS = frozenset({"forward", "backward", "both", "adverbial"})
SCOPES = frozenset({"word", "clause", "list", "sentence"})
TERM_KINDS = ("sites", "laterality", "severity", "morphology")
PAIRED = "paired"
"""A plural that names both sides unless a side is named beside it: "the lung bases"."""
WORDS = (
    "preposition",
    "prior_size",
    "no_size",
    "size",
    "distance",
    "request",
    "no_request",
    "condition",
    "purpose",
    "done",
    "anaphor",
)
"""Words that the grammar of attributes, sizes and recommendations turns on."""


@dataclass(frozen=True, slots=True)
class Cue:
    """A word or phrase that says something about the mentions near it.

    Parameters
    ----------
    id
        Name in tests.
    type
        ``presence`` (with a certainty), ``historical``, ``hypothetical``, ``recent``, ``other``
        (another person), ``change``, ``pseudo`` (looks like a cue and is none), ``stop`` (ends the
        scope of others), ``verb`` (a finite verb: makes a clause), ``exists`` ("is seen"), ``join``
        ("and"), ``either`` ("or").
    direction
        Where the mentions are: behind the cue (``forward``), before it (``backward``), ``both``,
        or before it and, where it opens the sentence, in the clause behind it (``adverbial``:
        "In 2001 he had a stroke"; English).
    scope
        How far: the next ``word`` or phrase, the ``clause``, the clause and the ``list`` it
        governs, the ``sentence``.
    certainty
        For ``presence``.
    change
        What it says of change, whatever its type; or None.
    ends
        What a ``stop`` ends: ``all`` scopes, or only those of ``presence`` ("no mass with edema",
        but "history of a mass with edema").
    is_verb
        A verb beside its type: opens a clause as ``verb`` does ("denies").
    alarm
        Whether it asks for action although it is uncertain ("concerning for").
    at_end
        It counts only where its clause ends (Chinese: "结节未见", not "结节未见强化").
    """

    id: str
    type: str
    direction: str = "forward"
    scope: str = "list"
    certainty: Presence | None = None
    change: Change | None = None
    ends: str = "all"
    is_verb: bool = False
    at_end: bool = False
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Term:
    """What a word of a report names.

    Parameters
    ----------
    kind
        ``concept``, ``exclude`` (contains a form and does not mean it), ``first`` and ``second``
        (the two sides of a form with a gap), ``normal``, one of `TERM_KINDS`, or one of `WORDS`.
    id
        Of the concept, site, side, grade or morphology.
    pair
        Number of the form with a gap.
    needs
        Modality of the study in which an abbreviation means this ("PE" in CT); empty: in any.
    """

    kind: str
    id: str
    pair: int = -1
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Everything the engine knows of one language.

    Parameters
    ----------
    comma_ends_scope
        Whether a comma ends a clause (Chinese) or may go on with a list (English).
    gap
        Most characters between the two sides of a form with a gap.
    headings
        Section of each heading, in matching form.
    chronic
        Disorders and operations that, named alone, are an entry of a list of past problems.
    abbreviations
        Words whose full stop ends no sentence.
    sites
        Parent of each site id, or None.
    covers, denies
        For each normal statement's id, the sites that it covers, and the concepts it says are not
        there.
    """

    language: str
    cues: Matcher[Cue]
    terms: Matcher[Term]
    comma_ends_scope: bool
    gap: int
    headings: dict[str, Section]
    chronic: frozenset[str]
    abbreviations: frozenset[str]
    covers: Mapping[str, tuple[str, ...]]
    denies: Mapping[str, tuple[str, ...]]


@cache
def lexicon(language: str) -> Lexicon:
    """Load the lexicon of a language.

    Raises
    ------
    LexiconError
        There is no such language, or its file is wrong.
    """
    if language not in LANGUAGES:
        raise LexiconError(f"no lexicon for {language!r}; there are {', '.join(LANGUAGES)}")
    return build(read_yaml(f"lexicon_{language}.yaml"), file=f"lexicon_{language}.yaml")


def build(raw: Mapping[str, Any], *, file: str) -> Lexicon:
    """Make a lexicon of its parsed file; every mistake raises `LexiconError`."""
    seen: dict[tuple[str, str], str] = {}

    def unique(space: str, form: str, owner: str) -> str:
        before = seen.setdefault((space, form), owner)
        if before != owner:
            raise LexiconError(f"{file}: {owner}: form {form!r} belongs to {before} already")
        return form

    cues = [
        (unique(f"cue {cue.type} {cue.direction}", form, cue.id), cue)
        for entry in raw["cues"]
        for cue in [_cue(entry, file)]
        for each in entry["forms"]
        for form in expand(each)
    ]
    terms = [
        (unique(_space(term), form, f"{term.kind} {term.id}"), term)
        for form, term in (*_concept_terms(raw["concepts"], file), *_other_terms(raw, file))
    ]
    grammar = raw["grammar"]
    return Lexicon(
        language=raw["language"],
        cues=Matcher(cues),
        terms=Matcher(terms),
        comma_ends_scope=grammar["comma_ends_scope"],
        gap=grammar["gap"],
        headings={
            form: Section(section)
            for section, forms in raw["sections"].items()
            for each in forms
            for form in expand(each)
        },
        chronic=frozenset(form for each in grammar["chronic"] for form in expand(each)),
        abbreviations=frozenset(matching_form(each) for each in grammar["abbreviations"]),
        covers={name: tuple(entry["covers"]) for name, entry in raw["normal"].items()},
        denies={name: tuple(entry.get("denies", ())) for name, entry in raw["normal"].items()},
    )


def _space(term: Term) -> str:
    """Forms are unique within a kind; each form with a gap has a space of its own."""
    if term.pair >= 0:
        return f"{term.kind} {term.pair}"
    return "concept" if term.kind == "exclude" else term.kind


def _cue(entry: Mapping[str, Any], file: str) -> Cue:
    allowed = {"id", "type", "direction", "scope", "certainty", "change", "ends", "is_verb",
               "at_end", "alarm", "forms", "positive", "negative"}  # fmt: skip
    where = f"{file}: cue {entry.get('id')}"
    if extra := sorted(set(entry) - allowed):
        raise LexiconError(f"{where}: unknown key {', '.join(extra)}")
    cue = Cue(
        id=entry["id"],
        type=entry["type"],
        direction=entry.get("direction", "forward"),
        scope=entry.get("scope", "list"),
        certainty=Presence(entry["certainty"]) if "certainty" in entry else None,
        change=Change(entry["change"]) if "change" in entry else None,
        ends=entry.get("ends", "all"),
        is_verb=entry.get("is_verb", False),
        at_end=entry.get("at_end", False),
        alarm=entry.get("alarm", False),
    )
    if cue.type not in CUE_TYPES or cue.direction not in DIRECTIONS or cue.scope not in SCOPES:
        raise LexiconError(f"{where}: no such type, direction or scope; see the reference")
    if (cue.type == "presence") != (cue.certainty is not None):
        raise LexiconError(f"{where}: a presence cue has a certainty, and no other has one")
    return cue


def _concept_terms(raw: Mapping[str, Any], file: str) -> Iterator[tuple[str, Term]]:
    """Forms of concepts, their exclusions, and the sides of forms with a gap."""
    pair = 0
    for name, entry in raw.items():
        if name not in concepts():
            raise LexiconError(f"{file}: {name}: no such concept in concepts.yaml")
        for form in entry["forms"]:
            if (sides := split_gap(form)) is None:
                yield from ((each, Term("concept", name)) for each in expand(form))
                continue
            for kind, forms in zip(("first", "second"), sides, strict=True):
                yield from ((each, Term(kind, name, pair)) for each in forms)
            pair += 1
        for modality, forms in entry.get("in_modality", {}).items():
            for form in forms:
                yield from ((each, Term("concept", name, needs=modality)) for each in expand(form))
        for form in entry.get("exclude", ()):
            yield from ((each, Term("exclude", name)) for each in expand(form))


def _other_terms(raw: Mapping[str, Any], file: str) -> Iterator[tuple[str, Term]]:
    """Sites, sides, grades, morphology, normal statements and words of recommendations."""
    for kind, values in (("laterality", Laterality), ("severity", Severity)):
        if unknown := sorted(set(raw[kind]) - {PAIRED, *(str(each) for each in values)}):
            raise LexiconError(f"{file}: {kind}: no such value: {', '.join(unknown)}")
    groups: list[tuple[str, str, list[str]]] = [
        (kind, name, forms) for kind in TERM_KINDS for name, forms in raw[kind].items()
    ]
    groups += [("examination", name, forms) for name, forms in raw["examinations"].items()]
    groups += [("normal", name, entry["forms"]) for name, entry in raw["normal"].items()]
    groups += [(kind, kind, raw["words"][kind]) for kind in WORDS]
    for kind, name, forms in groups:
        for form in forms:
            yield from ((each, Term(kind, name)) for each in expand(form))
