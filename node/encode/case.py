"""One case to encode: the source, its reduced headers and the context, checked once."""

from __future__ import annotations

from dataclasses import dataclass

from engines.types import Label, SegmentationResult
from node.domain import ResultContext, ResultKind, Source
from node.encode.source import Headers, prepare
from node.errors import PermanentError


@dataclass(frozen=True)
class Case:
    """What every encoder is given besides the result."""

    source: Source
    headers: Headers
    context: ResultContext

    def series_number(self, kind: ResultKind) -> int:
        """SeriesNumber (0020,0011) of a kind: its place among the package's kinds decides."""
        return self.context.series_number + self.context.kinds.index(kind)


def open_case(source: Source, context: ResultContext) -> Case:
    """Check and reduce the source; see `node.encode.source.prepare` for what can be wrong."""
    return Case(source=source, headers=prepare(source, context), context=context)


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
