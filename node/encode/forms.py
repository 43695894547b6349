"""Which forms of object a result can be written in, and which one each kind has by itself.

The forms a destination gets are chosen elsewhere, by its profile and by what it accepts; here
is only what is possible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch

from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from engines.types import ClassificationResult, ImageResult, SegmentationResult
from node.domain import ObjectForm, ResultKind, Source

_FIRST_FORM = {form.kind: form for form in reversed(ObjectForm)}


DERIVED_CLASSES = {CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage}
"""Of which a derived series is of the same SOP Class, with a rescale slope of its own."""


@singledispatch
def native_forms(result: object, source: Source) -> Mapping[ResultKind, ObjectForm]:
    """Map each kind to the form that it has where nobody asks for another one.

    A result type of a plug-in has the first form of each kind, unless it registers its own.
    """
    return {**_FIRST_FORM, ResultKind.SR: ObjectForm.SR_2D}


@native_forms.register
def _of_segmentation(result: SegmentationResult, source: Source) -> Mapping[ResultKind, ObjectForm]:
    report = ObjectForm.SR_2D if is_projection(source) else ObjectForm.SR_3D
    return {**_FIRST_FORM, ResultKind.SR: report}


@singledispatch
def possible_forms(result: object, source: Source) -> tuple[ObjectForm, ...]:
    """List the forms a result can be written in, in the order of `ObjectForm`.

    A result type of a plug-in is taken at its word: all forms, unless it registers its own.
    """
    return tuple(form for form in ObjectForm if form.kind is not ResultKind.STATUS)


@possible_forms.register
def _segmentation_forms(result: SegmentationResult, source: Source) -> tuple[ObjectForm, ...]:
    missing = {ObjectForm.DERIVED, ObjectForm.STATUS, ObjectForm.STATUS_SC}
    if not source.volume.grid.patient_frame:
        missing |= {ObjectForm.SEG_LABELMAP, ObjectForm.SR_3D, ObjectForm.PM, ObjectForm.RTSTRUCT}
    if is_projection(source):
        missing |= {ObjectForm.SC_MULTIFRAME}
    if result.probabilities is None:
        missing |= {ObjectForm.SEG_FRACTIONAL, ObjectForm.PM}
    return tuple(form for form in ObjectForm if form not in missing)


@possible_forms.register
def _image_forms(result: ImageResult, source: Source) -> tuple[ObjectForm, ...]:
    classes = {ds.get("SOPClassUID") for ds in source.datasets}
    return (ObjectForm.DERIVED,) if classes <= DERIVED_CLASSES else ()


@possible_forms.register
def _classification_forms(result: ClassificationResult, source: Source) -> tuple[ObjectForm, ...]:
    single = source.volume.grid.shape[0] == 1
    key_objects = (ObjectForm.KO,) if single else ()
    return (ObjectForm.SR_2D, ObjectForm.SC, *key_objects, ObjectForm.PDF)


def wanted_forms(
    result: object, source: Source, kinds: Sequence[ResultKind]
) -> tuple[ObjectForm, ...]:
    """Name the form of each kind that a package asks for, in its order."""
    native = native_forms(result, source)
    return tuple(native[kind] for kind in kinds)


def is_projection(source: Source) -> bool:
    """Whether the source is one image without a place in the patient, such as a radiograph."""
    grid = source.volume.grid
    return not grid.patient_frame and grid.shape[0] == 1
