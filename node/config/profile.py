"""Viewer profiles: which kinds of object a destination gets, in which forms, and how packed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from node.config.section import Section
from node.domain import ObjectForm, Packing, ResultKind

FormName: TypeAlias = Literal[
    "SEG_BINARY",
    "SEG_LABELMAP",
    "SEG_FRACTIONAL",
    "SR_3D",
    "SR_2D",
    "SC",
    "SC_MULTIFRAME",
    "PM",
    "RTSTRUCT",
    "DERIVED",
    "PR",
    "KO",
    "PDF",
    "STATUS",
    "STATUS_SC",
]
"""A member of `node.domain.ObjectForm`."""

_Forms: TypeAlias = tuple[FormName, ...]

TRANSFER_SYNTAXES: Final = {
    "explicit": "1.2.840.10008.1.2.1",
    "rle": "1.2.840.10008.1.2.5",
    "jpeg2000": "1.2.840.10008.1.2.4.90",
    "deflated": "1.2.840.10008.1.2.1.99",
}


class Profile(Section):
    """What a viewer shows. For each kind: the form wanted, then what replaces it; empty: none."""

    seg: _Forms = Field(default=(), description="Segmentations.")
    seg_of_projections: _Forms | None = Field(
        default=None,
        description="Segmentations of radiographs and other projections; left out: as `seg`.",
    )
    sr: _Forms = Field(default=(), description="Structured reports.")
    sc: _Forms = Field(default=(), description="Pictures (secondary captures).")
    pm: _Forms = Field(default=(), description="Parametric maps.")
    rtstruct: _Forms = Field(default=(), description="Contours as RT structure sets.")
    derived: _Forms = Field(default=(), description="Derived image series.")
    pr: _Forms = Field(default=(), description="Softcopy presentation states.")
    ko: _Forms = Field(default=(), description="Key object selections.")
    doc: _Forms = Field(default=(), description="Reports as encapsulated PDF.")
    status: _Forms = Field(default=(), description="The study status.")
    max_frames: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Frames of one segmentation; a larger one is spread over several objects.",
    )
    max_segments: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Segments of one segmentation; one of more is spread over several objects.",
    )
    transfer_syntax: Literal["explicit", "rle", "jpeg2000", "deflated"] = Field(
        default="explicit",
        description="Of label maps, fractional segments, pictures and derived images; a "
        "destination that does not take it gets Explicit VR Little Endian.",
    )

    def chain(self, kind: ResultKind) -> tuple[ObjectForm, ...]:
        """The form of a kind that is wanted, then those that replace it."""
        return tuple(ObjectForm(name) for name in getattr(self, kind.value.lower()))

    def for_projections(self) -> Profile:
        """The same for images without a frame of reference in the patient."""
        own = self.seg_of_projections
        return self if own is None else self.model_copy(update={"seg": own})

    @property
    def packing(self) -> Packing:
        """How its objects are packed."""
        syntax = TRANSFER_SYNTAXES[self.transfer_syntax]
        return Packing(self.max_frames, self.max_segments, syntax)


BUILT_IN: Final[Mapping[str, Profile]] = {
    "full": Profile(
        seg=("SEG_BINARY", "SEG_LABELMAP", "SC"),
        sr=("SR_3D", "SR_2D", "SC"),
        sc=("SC",),
        pm=("PM",),
        rtstruct=("RTSTRUCT",),
        derived=("DERIVED",),
        pr=("PR",),
        ko=("KO",),
        doc=("PDF",),
        status=("STATUS", "STATUS_SC"),
    ),
    # OHIF 3.13 hangs on fractional segments, shows nothing of an SR with a group without
    # coordinates, and never draws SCOORD3D: planar reports only. Of a label map that lists its
    # background it paints every label in the next one's place: binary only. It ends with a black
    # page at a segmentation without a spacing in the patient, that of a radiograph (tests/viewers).
    "ohif": Profile(
        seg=("SEG_BINARY", "SC"),
        seg_of_projections=("SC",),
        sr=("SR_2D", "SC"),
        sc=("SC",),
        pm=("PM",),
        rtstruct=("RTSTRUCT",),
        derived=("DERIVED",),
        doc=("PDF",),
        status=("STATUS_SC",),
        transfer_syntax="rle",
    ),
    # It shows bare masks of a segmentation, and fails on SR and parametric maps.
    "orthanc-webviewer": Profile(
        seg=("SC_MULTIFRAME", "SC"),
        sr=("SC",),
        sc=("SC",),
        derived=("DERIVED",),
        status=("STATUS_SC",),
    ),
    # Weasis switches segmentations of more than 400 frames off.
    "weasis": Profile(
        seg=("SEG_BINARY", "SC"),
        sr=("SR_2D", "SR_3D", "SC"),
        sc=("SC",),
        rtstruct=("RTSTRUCT",),
        derived=("DERIVED",),
        pr=("PR",),
        ko=("KO",),
        doc=("PDF",),
        status=("STATUS", "STATUS_SC"),
        max_frames=400,
    ),
    "plain": Profile(sc=("SC",), status=("STATUS_SC",)),
}
"""By the names that an administrator's own profiles cannot have."""
