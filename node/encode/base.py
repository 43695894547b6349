"""A result → the DICOM objects that say it: one function, one registry by result type.

A package that brings its own result type registers an encoder for it::

    @node.encode.base.write.register
    def write_contours(result: ContourResult, case: Case) -> list[Encoded]: ...

and names that module under the entry point group ``wetread.encoders``. What to write is in
``case.forms``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, singledispatch
from importlib.metadata import entry_points
from typing import Any

import structlog

from engines.types import ClassificationResult, ImageResult, Result, SegmentationResult
from node.domain import ObjectForm, Packing, ResultContext, Source
from node.encode.capture import write_capture
from node.encode.case import Case, check_labelmap
from node.encode.derived import write_derived
from node.encode.encoded import Encoded
from node.encode.forms import native_forms, possible_forms, wanted_forms
from node.encode.key_objects import write_key_objects
from node.encode.marking import mark
from node.encode.multiframe import write_frames
from node.encode.parametric import write_parametric_map
from node.encode.pdf import write_pdf
from node.encode.presentation import write_presentation
from node.encode.seg import write_fractional, write_label_map, write_segmentation
from node.encode.source import prepare
from node.encode.sr import (
    write_classification_report,
    write_planar_report,
    write_volume_report,
)
from node.encode.structure_set import write_structure_set
from node.errors import PermanentError, StepError

__all__ = ["Encoded", "encode", "native_forms", "possible_forms", "result_types", "write"]

log = structlog.get_logger(__name__)

ENTRY_POINTS = "wetread.encoders"

Writer = Callable[[Case, Any], Sequence[Encoded]]
"""Writes one form of a result: nothing where the result has nothing to say in that form."""


def encode(
    result: Result,
    source: Source,
    context: ResultContext,
    forms: Sequence[ObjectForm] | None = None,
    *,
    beside: Sequence[ObjectForm] = (),
    packing: Packing | None = None,
) -> list[Encoded]:
    """Encode a result in the forms that a destination wants.

    Called again with other forms, it adds to what was written before: objects of different
    forms have different UIDs, and those of the same form are the same bytes.

    Parameters
    ----------
    result
        On the grid of the source.
    source
        The images of the case. Headers are not changed.
    context
        Equal arguments give byte-identical objects.
    forms
        What to write; see `node.encode.forms.possible_forms`. None: the kinds that the
        package asks for, each in its own form.
    beside
        Forms that the same destination has already, or gets otherwise: not written, but
        referred to as if they were.
    packing
        Limits and compression; None for neither.

    Returns
    -------
    list of Encoded
        In the order of the forms; a form may take several instances. A label map without
        any label has no Segmentation: the report and the picture say that nothing was found.

    Raises
    ------
    PermanentError
        If the result does not fit the source, the source lacks what an object needs, or
        an object cannot be made; the message names the form and the cause.
    """
    _load_plugins()
    wanted = wanted_forms(result, source, context.kinds) if forms is None else tuple(forms)
    case = Case(
        source=source,
        headers=prepare(source, context),
        context=context,
        forms=wanted,
        beside=tuple(beside),
        native=native_forms(result, source),
        packing=packing or Packing(),
    )
    encoded = write(result, case)
    for one in encoded:
        mark(one.dataset, case.headers, context, case.series(one.form))
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
    return _write_each(result, case, _OF_SEGMENTATION)


@write.register
def _image(result: ImageResult, case: Case) -> list[Encoded]:
    return _write_each(result, case, {ObjectForm.DERIVED: write_derived})


@write.register
def _classification(result: ClassificationResult, case: Case) -> list[Encoded]:
    if result.predicted is not None and result.predicted not in {s.name for s in result.scores}:
        raise PermanentError("the class predicted is none of the classes scored")
    return _write_each(result, case, _OF_CLASSIFICATION)


_OF_SEGMENTATION: Mapping[ObjectForm, Writer] = {
    ObjectForm.SEG_BINARY: write_segmentation,
    ObjectForm.SEG_LABELMAP: write_label_map,
    ObjectForm.SEG_FRACTIONAL: write_fractional,
    ObjectForm.SR_3D: write_volume_report,
    ObjectForm.SR_2D: write_planar_report,
    ObjectForm.SC: write_capture,
    ObjectForm.SC_MULTIFRAME: write_frames,
    ObjectForm.PM: write_parametric_map,
    ObjectForm.RTSTRUCT: write_structure_set,
    ObjectForm.PR: write_presentation,
    ObjectForm.KO: write_key_objects,
    ObjectForm.PDF: write_pdf,
}

_OF_CLASSIFICATION: Mapping[ObjectForm, Writer] = {
    ObjectForm.SR_2D: write_classification_report,
    ObjectForm.SC: write_capture,
    ObjectForm.KO: write_key_objects,
    ObjectForm.PDF: write_pdf,
}


def _write_each(result: Result, case: Case, writers: Mapping[ObjectForm, Writer]) -> list[Encoded]:
    possible = possible_forms(result, case.source)
    encoded: list[Encoded] = []
    for form in case.forms:
        if form not in possible:
            what = type(result).__name__.removesuffix("Result").lower()
            raise PermanentError(
                f"a {what} of this source cannot be written as {form.value}; "
                f"possible are {', '.join(possible)}"
            )
        encoded += _translated(form, writers[form], case, result)
    return encoded


def _translated(form: ObjectForm, writer: Writer, case: Case, result: Result) -> Sequence[Encoded]:
    """Call one writer and turn what the libraries below it raise into a PermanentError."""
    try:
        return writer(case, result)
    except StepError:
        raise
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, OverflowError) as error:
        # The headers handed down hold no patient data, so the cause's words cannot either.
        cause = f"{type(error).__name__}: {error}"
        raise PermanentError(f"the {form.value} object cannot be made: {cause}") from error


@cache
def _load_plugins() -> None:
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
        except (ImportError, AttributeError) as error:
            # Results of other types must still be written.
            log.error("encoder.broken", encoder=entry.name, reason=str(error))  # noqa: TRY400
