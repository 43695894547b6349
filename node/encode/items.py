"""Content items of the node's own Comprehensive SR documents, and the document around them."""

from __future__ import annotations

from collections.abc import Iterable

import highdicom as hd
from pydicom.dataset import Dataset

from engines.types import Code
from node.domain import MANUFACTURER
from node.encode.document import Author, Reference, as_evidence, device_observer, language
from node.encode.seg_header import concept
from node.errors import PermanentError
from node.terminology import COMMENT

_CONTAINS = hd.sr.RelationshipTypeValues.CONTAINS


def text_content(value: str, name: Code = COMMENT) -> hd.sr.TextContentItem:
    """Make a TEXT item; a comment unless it is told otherwise."""
    return hd.sr.TextContentItem(name=concept(name), value=value, relationship_type=_CONTAINS)


def code_content(name: Code, value: Code) -> hd.sr.CodeContentItem:
    """Make a CODE item."""
    return hd.sr.CodeContentItem(
        name=concept(name), value=concept(value), relationship_type=_CONTAINS
    )


def number_content(name: Code, value: float, unit: Code) -> hd.sr.NumContentItem:
    """Make a NUM item."""
    return hd.sr.NumContentItem(
        name=concept(name), value=value, unit=concept(unit), relationship_type=_CONTAINS
    )


def contained(name: Code, items: Iterable[hd.sr.ContentItem]) -> hd.sr.ContainerContentItem:
    """Make a CONTAINER with items."""
    container = hd.sr.ContainerContentItem(name=concept(name), relationship_type=_CONTAINS)
    container.ContentSequence = hd.sr.ContentSequence(list(items))
    return container


def comprehensive_sr(
    study_instance_uid: str,
    uids: Reference,
    number: int,
    title: Code,
    items: Iterable[hd.sr.ContentItem],
    inputs: Iterable[Reference],
    predecessor: Reference | None,
    author: Author,
) -> Dataset:
    """Make a Comprehensive SR of this installation: complete, preliminary, UNVERIFIED.

    Parameters
    ----------
    number
        InstanceNumber (0020,0013).
    inputs
        Instances of the study, which are its evidence.

    Raises
    ------
    PermanentError
        If there is no instance to refer to.
    """
    evidence = as_evidence(study_instance_uid, inputs)
    if not evidence:
        raise PermanentError("the study has no instance that a document could refer to")
    root = hd.sr.ContainerContentItem(name=concept(title))
    root.ContentSequence = hd.sr.ContentSequence(
        [*language(), *device_observer(author.device_uid, author.device_serial_number), *items]
    )
    previous = [] if predecessor is None else [predecessor]
    dataset: Dataset = hd.sr.ComprehensiveSR(
        evidence=evidence,
        content=root,
        series_instance_uid=uids.series_instance_uid,
        series_number=author.series_number,
        sop_instance_uid=uids.sop_instance_uid,
        instance_number=number,
        manufacturer=MANUFACTURER,
        is_complete=True,
        previous_versions=as_evidence(study_instance_uid, previous) or None,
    )
    return dataset
