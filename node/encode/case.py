"""One case to encode: the source, its reduced headers, the context and the forms wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engines.types import Label, SegmentationResult
from node.domain import ObjectForm, Packing, ResultContext, ResultKind, Source
from node.encode.marking import Series, series_description, uid
from node.encode.source import Headers
from node.errors import PermanentError


@dataclass(frozen=True)
class Case:
    """What every encoder is given besides the result.

    Parameters
    ----------
    forms
        What to write.
    beside
        What else the same destination has of this result: references go to these too.
    native
        The form that each kind has by itself (`node.encode.forms.native_forms`).
    """

    source: Source
    headers: Headers
    context: ResultContext
    forms: tuple[ObjectForm, ...]
    beside: tuple[ObjectForm, ...]
    native: Mapping[ResultKind, ObjectForm]
    packing: Packing

    def uid(self, form: ObjectForm, *role: str) -> str:
        """Derive a UID of an object; each form of a kind has its own."""
        return uid(self.context, self._name(form), *role)

    def series(self, form: ObjectForm) -> Series:
        """UID, number and description of the series that a form is written to."""
        words = form.kind.value
        if form is not self.native[form.kind]:
            words = form.value.replace("_", " ")
        return Series(
            uid=self.uid(form, "series"),
            number=self.series_number(form.kind),
            description=series_description(self.context, words),
        )

    def series_number(self, kind: ResultKind) -> int:
        """SeriesNumber (0020,0011) of a kind: its place among the package's kinds decides.

        Kinds that the package does not ask for come after them.
        """
        kinds = [*self.context.kinds, *(kind for kind in ResultKind)]
        return self.context.series_number + list(dict.fromkeys(kinds)).index(kind)

    def companion(self, kind: ResultKind) -> ObjectForm | None:
        """Find the form in which the same destination gets another kind of this result."""
        forms = (*self.forms, *self.beside)
        return next((form for form in forms if form.kind is kind), None)

    def _name(self, form: ObjectForm) -> str:
        """Name a form in its UIDs: the kind alone where both it and what it refers to are native.

        A report on other segments is another document, so it has other UIDs.
        """
        name = form.kind.value if form is self.native[form.kind] else form.value
        if form is not ObjectForm.SR_3D:
            return name
        segments = self.companion(ResultKind.SEG)
        wanted = ResultKind.SEG in self.context.kinds
        usual = self.native[ResultKind.SEG] if wanted else None
        return name if segments is usual else f"{name} on {segments or 'no segments'}"


def found_labels(result: SegmentationResult) -> list[Label]:
    """Labels that at least one voxel has, by increasing value.

    The position in this list plus one is the segment number: DICOM numbers segments from 1
    without gaps (PS3.3 Section C.8.20.2), a package numbers its labels as it likes.
    """
    counts = result.voxel_counts
    ordered = sorted(result.labels, key=lambda label: label.value)
    return [label for label in ordered if counts[label.value]]


def missing_labels(result: SegmentationResult) -> list[Label]:
    """Labels that no voxel has, by increasing value."""
    found = {label.value for label in found_labels(result)}
    ordered = sorted(result.labels, key=lambda label: label.value)
    return [label for label in ordered if label.value not in found]


def check_labelmap(result: SegmentationResult, source: Source) -> None:
    """Check that a label map is on the source's grid and that every value has a label.

    Raises
    ------
    PermanentError
        If it is not; the message has both shapes, or the value.
    """
    if result.labelmap.shape != source.volume.grid.shape:
        raise PermanentError(
            f"the label map is {result.labelmap.shape}, the source is {source.volume.grid.shape}"
        )
    if result.labelmap.dtype.name != "uint8":
        raise PermanentError(f"the label map is {result.labelmap.dtype}, expected uint8")
    known = {0, *(label.value for label in result.labels)}
    counts = result.voxel_counts
    unknown = [value for value in range(256) if counts[value] and value not in known]
    if unknown:
        raise PermanentError(f"the label map has the values {unknown}, for which there is no label")
