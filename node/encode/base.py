"""A result → the DICOM objects that say it: one function, one registry by result type.

A package that brings its own result type registers an encoder for it::

    @node.encode.base.write.register
    def write_contours(result: ContourResult, case: Case) -> list[Encoded]: ...

and names that module under the entry point group ``wetread.encoders``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, singledispatch
from importlib.metadata import entry_points

import structlog
from pydicom.dataset import Dataset

from engines.types import ClassificationResult, Result, SegmentationResult
from node.domain import ResultContext, ResultKind, Source
from node.encode.capture import write_capture
from node.encode.case import Case, check_labelmap, found_labels, open_case
from node.encode.marking import mark
from node.encode.seg import write_segmentation
from node.encode.sr import write_classification_report, write_segmentation_report
from node.errors import PermanentError, StepError

log = structlog.get_logger(__name__)

ENTRY_POINTS = "wetread.encoders"


@dataclass(frozen=True)
class Encoded:
    """One object, ready to be written as a file.

    Parameters
    ----------
    dataset
        Has file meta information; Explicit VR Little Endian.
    """

    kind: ResultKind
    dataset: Dataset


def encode(result: Result, source: Source, context: ResultContext) -> list[Encoded]:
    """Encode a result as the kinds of object its package wants.

    Parameters
    ----------
    result
        On the grid of the source.
    source
        The images of the case. Headers are not changed.
    context
        Equal results, sources and contexts give byte-identical objects.

    Returns
    -------
    list of Encoded
        In the order of ``context.kinds``. A label map without any label has no
        Segmentation: the report and the picture say that nothing was found.

    Raises
    ------
    PermanentError
        If the result does not fit the source, the source lacks what an object needs, or
        an object cannot be made; the message names the kind and the cause.
    """
    _load_plugins()
    case = open_case(source, context)
    encoded = write(result, case)
    for one in encoded:
        mark(one.dataset, case.headers, context, one.kind, case.series_number(one.kind))
    return encoded


def result_types() -> dict[str, type[Result]]:
    """Every result type that has an encoder, by module and name."""
    _load_plugins()
    known = [each for each in write.registry if issubclass(each, Result)]
    return {f"{each.__module__}:{each.__qualname__}": each for each in known}


@singledispatch
def write(result: object, case: Case) -> list[Encoded]:
    """Write the objects of one result type; see the module for how to register another."""
    raise PermanentError(f"no encoder is registered for {type(result).__name__}")


@write.register
def _segmentation(result: SegmentationResult, case: Case) -> list[Encoded]:
    check_labelmap(result, case.source)
    encoded = []
    segmentation = None
    if ResultKind.SEG in case.context.kinds and found_labels(result):
        segmentation = _translated(ResultKind.SEG, write_segmentation, case, result)
        encoded.append(Encoded(ResultKind.SEG, segmentation))
    if ResultKind.SR in case.context.kinds:
        report = _translated(ResultKind.SR, write_segmentation_report, case, result, segmentation)
        encoded.append(Encoded(ResultKind.SR, report))
    if ResultKind.SC in case.context.kinds:
        picture = _translated(ResultKind.SC, write_capture, case, result)
        encoded.append(Encoded(ResultKind.SC, picture))
    return sorted(encoded, key=lambda one: case.context.kinds.index(one.kind))


@write.register
def _classification(result: ClassificationResult, case: Case) -> list[Encoded]:
    if result.predicted is not None and result.predicted not in {s.name for s in result.scores}:
        raise PermanentError("the class predicted is none of the classes scored")
    encoded = []
    for kind in case.context.kinds:
        if kind is ResultKind.SR:
            report = _translated(kind, write_classification_report, case, result)
            encoded.append(Encoded(kind, report))
        elif kind is ResultKind.SC:
            encoded.append(Encoded(kind, _translated(kind, write_capture, case, result)))
        else:
            raise PermanentError(f"a classification cannot be written as {kind.value}")
    return encoded


def _translated(kind: ResultKind, writer: Callable[..., Dataset], *arguments: object) -> Dataset:
    """Call one writer and turn what the libraries below it raise into a PermanentError."""
    try:
        return writer(*arguments)
    except StepError:
        raise
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError) as error:
        # The headers handed down hold no patient data, so the cause's words cannot either.
        cause = f"{type(error).__name__}: {error}"
        raise PermanentError(f"the {kind.value} object cannot be made: {cause}") from error


@cache
def _load_plugins() -> None:
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
        except (ImportError, AttributeError) as error:
            # Results of other types must still be written.
            log.error("encoder.broken", encoder=entry.name, reason=str(error))  # noqa: TRY400
