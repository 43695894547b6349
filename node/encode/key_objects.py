"""A result → Key Object Selection: the slices worth opening first (PS3.3 A.35.4, TID 2010)."""

from __future__ import annotations

from pydicom.dataset import Dataset

from engines.types import BuiltInResult, SegmentationResult
from node.domain import ObjectForm
from node.encode.case import Case, found_labels
from node.encode.encoded import Encoded
from node.encode.marking import code_item, statement
from node.encode.reference import image_of, reference, references, start
from node.encode.telling import largest_slices
from node.terminology import KEY_OBJECT_DESCRIPTION, OF_INTEREST


def write_key_objects(case: Case, result: BuiltInResult) -> list[Encoded]:
    """Select the slice of each label's largest area; nothing where nothing was found.

    Of a classification the whole case is selected if it is one image.
    """
    if isinstance(result, SegmentationResult):
        chosen = largest_slices(result)
        words = [f"{label.name}: slice {chosen[label.value] + 1}" for label in found_labels(result)]
        slices = sorted(set(chosen.values()))
    else:
        slices = [0] if case.source.volume.grid.shape[0] == 1 else []
        words = [f"{result.concept.meaning}: {result.predicted or 'indeterminate'}"]
    if not slices:
        return []
    dataset = start(case, ObjectForm.KO, "KO")
    dataset.ReferencedPerformedProcedureStepSequence = []
    series = Dataset()
    series.SeriesInstanceUID = case.headers.images[0].SeriesInstanceUID
    series.ReferencedSOPSequence = [
        reference(image_of(case, k)[0]) for k in slices if case.source.frame_numbers is None
    ] or [reference(case.headers.images[0])]
    study = Dataset()
    study.StudyInstanceUID = case.context.study_instance_uid
    study.ReferencedSeriesSequence = [series]
    dataset.CurrentRequestedProcedureEvidenceSequence = [study]
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    dataset.ConceptNameCodeSequence = [code_item(OF_INTEREST)]
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
    dataset.ContentTemplateSequence = [template]
    text = Dataset()
    text.RelationshipType, text.ValueType = "CONTAINS", "TEXT"
    text.ConceptNameCodeSequence = [code_item(KEY_OBJECT_DESCRIPTION)]
    text.TextValue = f"{'; '.join(words)}. {statement(case.context)}"
    dataset.ContentSequence = [text, *(_image(item) for item in references(case, slices))]
    return [Encoded(ObjectForm.KO, dataset)]


def _image(referenced: Dataset) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "IMAGE"
    item.ReferencedSOPSequence = [referenced]
    return item
