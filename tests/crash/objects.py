"""DICOM objects as they go over the wire, made by the thousand.

Each kind is encoded once; a new study only writes new UIDs of the same length over the old ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    JPEGLSLossless,
    KeyObjectSelectionDocumentStorage,
    MRImageStorage,
    RLELossless,
)
from pynetdicom.dsutils import encode

from tests.builders import ct_series, enhanced_ct, radiograph
from tests.builders.files import composite

BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
UID_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


@dataclass(frozen=True)
class Sent:
    """One object as its sender has it; `data_set` is encoded."""

    study_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes

    @property
    def sha256(self) -> str:
        """Of the encoded data set, hex."""
        return hashlib.sha256(self.data_set).hexdigest()


@dataclass(frozen=True)
class Study:
    """What one job sends.

    Parameters
    ----------
    results
        Modalities of the results the node has to make of it, sorted; empty if no rule wants it.
    """

    uid: str
    kind: str
    objects: tuple[Sent, ...]
    results: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of study: its images, and what comes of it with the rules of `RunningNode`."""

    build: Callable[[], Sequence[Dataset]]
    results: tuple[str, ...] = ()


def fixed_uid(*parts: object) -> str:
    """Derive a UID of 43 characters, always."""
    number = int(hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest(), 16)
    return f"2.25.{10**37 + number % (9 * 10**37)}"


def _ct(slices: int) -> Callable[[], list[Dataset]]:
    return lambda: ct_series(slices=slices, rows=64, columns=64)


def _mr() -> list[Dataset]:
    return ct_series(
        slices=8, rows=64, columns=64, SOPClassUID=MRImageStorage, Modality="MR", seed="mr"
    )


def _compressed(syntax: str) -> Callable[[], list[Dataset]]:
    def build() -> list[Dataset]:
        images = ct_series(slices=4, rows=64, columns=64, seed=syntax)
        for image in images:
            image.compress(syntax, generate_instance_uid=False)
        return images

    return build


def _documents() -> list[Dataset]:
    """A report, a presentation state and a key object selection: headers that no model reads."""
    classes = (
        (BASIC_TEXT_SR, "SR"),
        (GrayscaleSoftcopyPresentationStateStorage, "PR"),
        (KeyObjectSelectionDocumentStorage, "KO"),
    )
    return [composite(uid, modality, "documents", 1) for uid, modality in classes]


_VOLUME, _IMAGE = ("OT", "SEG", "SR"), ("OT", "SR")
KINDS = {
    "CT": Kind(_ct(5), _VOLUME),
    "CT, large": Kind(lambda: ct_series(slices=12, rows=256, columns=256), _VOLUME),
    "CT, RLE": Kind(_compressed(RLELossless), _VOLUME),
    "CT, JPEG-LS": Kind(_compressed(JPEGLSLossless), _VOLUME),
    "enhanced CT": Kind(lambda: [enhanced_ct(slices=6, rows=64, columns=64)], _VOLUME),
    "DX": Kind(lambda: [radiograph(rows=256, columns=224)], _IMAGE),
    "CR": Kind(lambda: [radiograph(modality="CR", seed="cr")], _IMAGE),
    "MR": Kind(_mr),
    "SR, PR, KO": Kind(_documents),
}


def study(kind: str, *seed: object) -> Study:
    """Make a study of its own: the same seed gives the same one."""
    uid = fixed_uid(*seed, kind, "study")
    objects = []
    for number, (template, uids) in enumerate(_templates(kind)):
        new = {"StudyInstanceUID": uid, "SOPInstanceUID": fixed_uid(*seed, kind, number)}
        data_set = template.data_set
        for keyword, old in uids.items():
            replacement = new.get(keyword) or fixed_uid(*seed, kind, old)
            data_set = data_set.replace(old.encode(), replacement.encode())
        objects.append(
            Sent(
                uid,
                template.sop_class_uid,
                new["SOPInstanceUID"],
                template.transfer_syntax_uid,
                data_set,
            )
        )
    return Study(uid, kind, tuple(objects), KINDS[kind].results)


@cache
def _templates(kind: str) -> list[tuple[Sent, dict[str, str]]]:
    """Encode each object of a kind, with the UIDs to write over by keyword."""
    made = []
    for number, ds in enumerate(KINDS[kind].build()):
        uids = {}
        for keyword in UID_KEYWORDS:
            if keyword in ds:
                own = number if keyword == "SOPInstanceUID" else ds[keyword].value
                uids[keyword] = fixed_uid("template", kind, keyword, own)
                setattr(ds, keyword, uids[keyword])
        syntax = str(ds.file_meta.TransferSyntaxUID or ExplicitVRLittleEndian)
        encoded = encode(ds, is_implicit_vr=False, is_little_endian=True)
        assert encoded is not None
        made.append((Sent("", str(ds.SOPClassUID), "", syntax, encoded), uids))
    return made
