"""Where report and models contradict each other → a structured report for those who look.

A Comprehensive SR, UNVERIFIED. A later one of the same study names the one before as its
predecessor, and says what was resolved or decided meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage

from engines.types import LATERALITIES, Code
from node.domain import derived_uid
from node.encode.document import Author, Reference, mark_document
from node.encode.identity import identity
from node.encode.items import code_content, comprehensive_sr, contained, text_content
from node.terminology import ALGORITHM_NAME, CONCLUSION, FINDING, LATERALITY

SERIES_NUMBER = 981
"""Added to `results.series_number_base`."""

_STATEMENT = (
    "Contradictions between a report and results of algorithms, found by software, UNVERIFIED by "
    "a person. Each of the two may be right, or neither."
)


@dataclass(frozen=True)
class Contradiction:
    """One discordance, in words for people.

    Parameters
    ----------
    code
        Of the finding; None where the lexicon has none.
    stands
        ``open``, ``closed: report right``, ``resolved``.
    """

    id: str
    model: str
    concept: str
    code: Code | None
    laterality: str
    reported: str
    modelled: str
    stands: str


@dataclass(frozen=True)
class DiscordanceAccount:
    """All discordances of a study, and how they stand.

    Parameters
    ----------
    changed_at
        When the last of them was opened or ended; the one time of the object. Timezone-aware.
    number
        1 for the first object of the study.
    """

    study_instance_uid: str
    digest: str
    changed_at: datetime
    number: int
    contradictions: Sequence[Contradiction]
    inputs: tuple[Reference, ...]
    predecessor: Reference | None = None


def discordance_uids(study_instance_uid: str, digest: str) -> Reference:
    """UIDs of the object that says how the discordances of a study stand."""
    return Reference(
        sop_class_uid=str(ComprehensiveSRStorage),
        sop_instance_uid=derived_uid(study_instance_uid, "discordances", digest),
        series_instance_uid=derived_uid(study_instance_uid, "discordances"),
    )


def write_discordances(account: DiscordanceAccount, header: Dataset, author: Author) -> Dataset:
    """Encode how the discordances of a study stand.

    Returns
    -------
    Dataset
        Comprehensive SR, UNVERIFIED, Explicit VR Little Endian. Equal arguments give equal bytes.

    Raises
    ------
    PermanentError
        If the study has no instance to refer to.
    """
    dataset = comprehensive_sr(
        account.study_instance_uid,
        discordance_uids(account.study_instance_uid, account.digest),
        account.number,
        CONCLUSION,
        [
            *(contained(FINDING, _items(each)) for each in account.contradictions),
            text_content(_STATEMENT),
        ],
        account.inputs,
        account.predecessor,
        author,
    )
    mark_document(dataset, identity(header), author, account.changed_at, "report-AI discordance")
    return dataset


def _items(one: Contradiction) -> Iterator[hd.sr.ContentItem]:
    if one.code is None:
        yield text_content(one.concept.replace("_", " "), FINDING)
    else:
        yield code_content(FINDING, one.code)
    if one.laterality:
        yield code_content(LATERALITY, LATERALITIES[one.laterality])
    yield text_content(one.model, ALGORITHM_NAME)
    yield text_content(f"Report: {one.reported}. Model: {one.modelled}.")
    yield text_content(f"Discordance {one.id}: {one.stands}", CONCLUSION)
