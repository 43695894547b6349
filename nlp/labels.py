"""Label sets: the names a data set or registry gives to findings, as data.

A label's value is the presence of the most certain finding among its concepts; ``None`` means that
the report does not mention it, which is not the same as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from nlp.concepts import ancestors, concepts
from nlp.data import read_yaml
from nlp.errors import LabelSetError, LexiconError
from nlp.types import Experiencer, Finding, Presence, Report, Section, Temporality

FILE = "label_sets.yaml"


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Names and what they mean.

    Parameters
    ----------
    names
        Every label, in the data set's order.
    concepts
        For each concept id, the labels that it counts for; kinds of it are included already.
    sections
        Sections that count.
    """

    name: str
    names: tuple[str, ...]
    concepts: Mapping[str, tuple[str, ...]]
    sections: frozenset[Section]


@cache
def label_set(name: str) -> LabelSet:
    """Load one label set.

    Raises
    ------
    LabelSetError
        There is none of this name.
    LexiconError
        It names a concept that does not exist.
    """
    table = read_yaml(FILE)["label_sets"]
    if name not in table:
        raise LabelSetError(f"no label set {name!r}; there are {', '.join(sorted(table))}")
    raw = table[name]
    wanted: dict[str, list[str]] = {}
    for label, entry in raw["labels"].items():
        for concept in entry["concepts"]:
            if concept not in concepts():
                raise LexiconError(f"{FILE}: {name}: {label}: no such concept: {concept}")
            wanted.setdefault(concept, []).append(label)
    made: dict[str, tuple[str, ...]] = {}
    for concept in concepts():
        labels = [label for each in sorted(ancestors(concept)) for label in wanted.get(each, ())]
        excluded = {
            label for label, entry in raw["labels"].items() if concept in entry.get("without", ())
        }
        made[concept] = tuple(dict.fromkeys(each for each in labels if each not in excluded))
    return LabelSet(
        name,
        tuple(raw["labels"]),
        made,
        frozenset(Section(each) for each in raw["sections"]),
    )


def label_names(finding: Finding, labels: LabelSet) -> tuple[str, ...]:
    """The labels that a finding's concept counts for, whatever its presence."""
    return labels.concepts.get(finding.concept, ())


def labels_of(report: Report, labels: LabelSet) -> dict[str, Presence | None]:
    """The presence of each label in a report; None for what it does not mention."""
    found: dict[str, Presence | None] = dict.fromkeys(labels.names)
    for finding in report.findings:
        if not _counts(finding, labels):
            continue
        for label in label_names(finding, labels):
            before = found[label]
            if before is None or finding.presence.rank > before.rank:
                found[label] = finding.presence
    return found


def _counts(finding: Finding, labels: LabelSet) -> bool:
    return (
        finding.section in labels.sections
        and finding.temporality is Temporality.RECENT
        and finding.assertion.experiencer is Experiencer.PATIENT
    )
