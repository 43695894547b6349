"""Each destination gets its own forms, and what refers to another object finds it there."""

from __future__ import annotations

import itertools

import pytest

from node.domain import ObjectForm, Packing, ResultKind
from node.encode.base import encode, possible_forms
from node.errors import PermanentError
from tests.encode.conftest import ALL_KINDS, lungs, make_context, view_of


def test_every_form_is_of_a_kind_and_every_kind_has_a_form():
    assert {form.kind for form in ObjectForm} == set(ResultKind)
    assert ObjectForm.SEG_LABELMAP.kind is ResultKind.SEG
    assert ObjectForm.PDF.kind is ResultKind.DOC


def test_without_a_wish_the_package_decides(source_of):
    source = source_of("ct")
    forms = [one.form for one in encode(lungs(source), source, make_context(source))]
    assert forms == [ObjectForm.SEG_BINARY, ObjectForm.SR_3D, ObjectForm.SC]


@pytest.mark.parametrize("kind", ["ct", "DX"])
def test_a_form_asked_for_later_is_what_it_would_have_been_at_once(kind, source_of):
    source = source_of(kind)
    context = make_context(source)
    at_once = {one.form: b"".join(one.chunks()) for one in encode(lungs(source), source, context)}

    for form, content in at_once.items():
        others = [other for other in at_once if other is not form]
        (later,) = encode(lungs(source), source, context, [form], beside=others)
        assert b"".join(later.chunks()) == content


@pytest.mark.parametrize("kind", ["ct", "DX"])
def test_every_form_has_the_sop_class_it_names_and_uids_of_its_own(kind, source_of):
    source = source_of(kind)
    result = lungs(source)
    made = encode(result, source, make_context(source), possible_forms(result, source))

    for one in made:
        wanted = one.form.sop_class_uid or source.datasets[0].SOPClassUID
        assert one.dataset.SOPClassUID == wanted
        assert one.dataset.file_meta.MediaStorageSOPInstanceUID == one.dataset.SOPInstanceUID
    for first, second in itertools.combinations(made, 2):
        assert first.dataset.SOPInstanceUID != second.dataset.SOPInstanceUID
        if first.form is not second.form:
            assert first.dataset.SeriesInstanceUID != second.dataset.SeriesInstanceUID


def referenced_segments(report):
    measurements = report.ContentSequence[-2].ContentSequence
    return [
        (
            item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID,
            item.ReferencedSOPSequence[0].ReferencedSegmentNumber,
        )
        for group in measurements
        for item in group.ContentSequence
        if item.ValueType == "IMAGE" and "ReferencedSegmentNumber" in item.ReferencedSOPSequence[0]
    ]


def test_segments_spread_over_several_objects_are_referred_to_where_they_are(source_of):
    source = source_of("ct")
    first, second, report = encode(
        lungs(source),
        source,
        make_context(source),
        [ObjectForm.SEG_BINARY, ObjectForm.SR_3D],
        packing=Packing(max_frames=4),
    )

    assert first.dataset.SeriesInstanceUID == second.dataset.SeriesInstanceUID
    assert (first.dataset.InstanceNumber, second.dataset.InstanceNumber) == (1, 2)
    assert referenced_segments(report.dataset) == [
        (first.dataset.SOPInstanceUID, 1),
        (second.dataset.SOPInstanceUID, 1),
    ]


def test_a_report_for_a_destination_without_segments_is_another_document(source_of):
    source = source_of("ct")
    context = make_context(source)
    _, usual, _ = encode(lungs(source), source, context)
    (alone,) = encode(lungs(source), source, context, [ObjectForm.SR_3D])

    assert alone.dataset.SOPInstanceUID != usual.dataset.SOPInstanceUID
    assert referenced_segments(alone.dataset) == []


def test_a_picture_that_nobody_planned_comes_in_a_series_after_the_others(source_of):
    source = source_of("ct")
    context = make_context(source, kinds=ALL_KINDS[:2])
    (picture,) = encode(lungs(source), source, context, [ObjectForm.SC])

    assert picture.dataset.SeriesNumber == 9002


def test_a_form_that_a_result_cannot_have_is_refused_with_those_that_it_can(source_of):
    source = source_of("DX")

    with pytest.raises(PermanentError, match=r"cannot be written as SEG_BINARY; possible are .*SC"):
        encode(view_of("PA"), source, make_context(source), [ObjectForm.SEG_BINARY])
