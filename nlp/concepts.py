"""The table of concepts: what can be found, whatever the language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from nlp.data import read_yaml
from nlp.errors import LexiconError
from nlp.types import Code

FILE = "concepts.yaml"


@dataclass(frozen=True, slots=True)
class CriticalRule:
    """When a concept is actionable (ACR 2014, Larson et al.).

    Parameters
    ----------
    category
        1 (minutes), 2 (hours) or 3 (days).
    when
        Any of these must hold: a severity, a change, a morphology, a site, ``larger_than_mm: N``
        as ``>N``; empty means always.
    """

    category: int
    when: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing that a report can say is there.

    Parameters
    ----------
    id
        Name in rules, JSON and tests.
    codes
        Its codes, the best first; empty if no code that may be shipped is known.
    parents
        Concepts that it is a kind of.
    organ
        Site it belongs to if the report names none; None if it has no place of its own.
    lateral
        Whether it has a side.
    critical
        The most urgent first.
    graded_by_size
        Whether "small" and "large" grade it, as they do an effusion and not a nodule.
    at
        Site → the concept that it is there ("stone" in the kidney).
    """

    id: str
    codes: tuple[Code, ...] = ()
    parents: tuple[str, ...] = ()
    organ: str | None = None
    lateral: bool = True
    critical: tuple[CriticalRule, ...] = ()
    graded_by_size: bool = False
    at: Mapping[str, str] = field(default_factory=dict)

    def placed(self, sites: Iterable[str]) -> str:
        """The concept that this one is at the first of the sites that tells more."""
        return next((self.at[site] for site in sites if site in self.at), self.id)


@cache
def concepts() -> Mapping[str, Concept]:
    """Every concept by id.

    Raises
    ------
    LexiconError
        The table names a parent that it does not have, or a concept twice.
    """
    table: dict[str, Concept] = {}
    for raw in read_yaml(FILE)["concepts"]:
        concept = _concept(raw)
        if concept.id in table:
            raise LexiconError(f"{FILE}: {concept.id}: there are two concepts of this id")
        table[concept.id] = concept
    for concept in table.values():
        named = {*concept.parents, *concept.at.values()}
        unknown = sorted(named - set(table))
        if unknown:
            raise LexiconError(f"{FILE}: {concept.id}: no such concept: {', '.join(unknown)}")
    return table


@cache
def _body_parts() -> Mapping[str, str]:
    table: Mapping[str, str] = read_yaml(FILE)["body_parts"]
    return table


def site_of_body_part(body_part: str | None) -> str | None:
    """The site that a DICOM Body Part Examined names; None if it names none, or several organs."""
    return _body_parts().get(body_part.upper()) if body_part else None


def ancestors(concept_id: str) -> frozenset[str]:
    """The concept itself, its parents, theirs, and so on."""
    found = {concept_id}
    waiting = [concept_id]
    while waiting:
        for parent in concepts()[waiting.pop()].parents:
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return frozenset(found)


def _concept(raw: Mapping[str, Any]) -> Concept:
    known = {"id", "codes", "parents", "organ", "lateral", "critical",
             "graded_by_size", "at"}  # fmt: skip
    if extra := sorted(set(raw) - known):
        raise LexiconError(f"{FILE}: {raw.get('id')}: unknown key {', '.join(extra)}")
    return Concept(
        id=raw["id"],
        codes=tuple(
            Code(scheme, str(value), meaning)
            for scheme, (value, meaning) in raw.get("codes", {}).items()
        ),
        parents=tuple(raw.get("parents", ())),
        organ=raw.get("organ"),
        lateral=raw.get("lateral", True),
        critical=tuple(
            CriticalRule(rule["category"], tuple(str(each) for each in rule.get("if", ())))
            for rule in raw.get("critical", ())
        ),
        graded_by_size=raw.get("graded_by_size", False),
        at=raw.get("at", {}),
    )
