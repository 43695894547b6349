"""The status object of a study says what was done, what was not, and why, and nothing more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import pytest
from pydicom import dcmread

from node.encode.document import Author, Reference
from node.encode.status import RunAccount, RunState, StudyAccount, status_reference, write_status
from node.encode.status_picture import render_status, write_status_picture
from node.errors import PermanentError
from tests.builders import ct_series
from tests.builders.tools import objections, run_tool

AUTHOR = Author(
    prefix="AI",
    series_number=8999,
    node_version="0.4.0",
    config_digest="ef" * 32,
    institution_name=None,
    device_serial_number="SN-1",
    device_uid="2.25.1",
)
SEGMENTATION = Reference("1.2.840.10008.5.1.4.1.1.66.4", "2.25.77", "2.25.78")
DONE = RunAccount("ct-lungs", "1.0.0", "1.2.3.1", RunState.SUCCEEDED, objects=(SEGMENTATION,))
BROKEN = RunAccount("ct-liver", "2.0.0", "1.2.3.1", RunState.FAILED, "infer: gap of 5.00 mm")
GATED = RunAccount("ct-heart", "2.0.0", "1.2.3.1", RunState.NOT_ELIGIBLE, "gate: no heart")
WAITING = RunAccount("ct-spine", "2.0.0", "1.2.3.1", RunState.PENDING)


def study():
    return ct_series(slices=3)


def account(images, *runs, **changes):
    inputs = tuple(
        Reference(ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID) for ds in images
    )
    made = StudyAccount(
        study_instance_uid=images[0].StudyInstanceUID,
        revision=1,
        complete_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        complete_reason="no new instance for 60 s; 3 instances in 1 series",
        runs=runs,
        not_run=(),
        inputs=inputs,
    )
    return replace(made, **changes)


def words(dataset):
    """Every text and every code of a report, in order."""
    found = []
    for item in dataset.ContentSequence:
        if item.ValueType == "TEXT":
            found.append(item.TextValue)
        elif item.ValueType == "CODE":
            found.append(item.ConceptCodeSequence[0].CodeMeaning)
        elif item.ValueType == "CONTAINER":
            found += words(item)
    return found


def test_a_run_is_named_with_its_version_its_state_and_its_objects():
    images = study()
    dataset = write_status(account(images, DONE), images[0], AUTHOR)

    [run] = [item for item in dataset.ContentSequence if item.ValueType == "CONTAINER"]
    assert words(run)[:3] == ["ct-lungs", "1.0.0", "Succeeded"]
    [reference] = [item for item in run.ContentSequence if item.ValueType == "COMPOSITE"]
    [named] = reference.ReferencedSOPSequence
    assert named.ReferencedSOPInstanceUID == "2.25.77"


@pytest.mark.parametrize(
    ("run", "code", "sentence"),
    [
        (BROKEN, "Failed", "failed: infer: gap of 5.00 mm; input: series 1.2.3.1"),
        (GATED, "Not Attempted", "not eligible: gate: no heart; input: series 1.2.3.1"),
        (WAITING, "Not Attempted", "pending; input: series 1.2.3.1"),
    ],
)
def test_what_has_no_result_says_why(run, code, sentence):
    images = study()
    dataset = write_status(account(images, run), images[0], AUTHOR)

    [container] = [item for item in dataset.ContentSequence if item.ValueType == "CONTAINER"]
    assert words(container)[2:] == [code, sentence]


@pytest.mark.parametrize(
    ("runs", "summary"),
    [
        ((DONE,), "Succeeded"),
        ((DONE, GATED), "Succeeded"),
        ((DONE, BROKEN), "Partially Succeeded"),
        ((BROKEN,), "Failed"),
        ((BROKEN, GATED), "Failed"),
        ((GATED,), "Not Attempted"),
        ((DONE, WAITING), "Not Attempted"),
        ((), "Not Attempted"),
    ],
)
def test_the_summary_is_never_better_than_the_runs(runs, summary):
    images = study()
    dataset = write_status(account(images, *runs), images[0], AUTHOR)

    [whole] = [
        item.ConceptCodeSequence[0].CodeMeaning
        for item in dataset.ContentSequence
        if item.ValueType == "CODE"
        and item.ConceptNameCodeSequence[0].CodeMeaning == "Summary of Analyses"
    ]
    assert whole == summary


def test_every_sentence_of_the_plan_stands_in_it():
    images = study()
    sentences = ("CT chest, series 3: slices is 3, expected at least 30", "Head: no series")
    dataset = write_status(account(images, not_run=sentences), images[0], AUTHOR)

    assert set(sentences) <= set(words(dataset))


def test_it_says_that_silence_is_not_negative_and_that_nobody_has_verified_it():
    images = study()
    dataset = write_status(account(images), images[0], AUTHOR)

    assert "nothing reported does not mean that nothing is there" in words(dataset)[-1]
    assert dataset.VerificationFlag == "UNVERIFIED"
    assert dataset.PreliminaryFlag == "PRELIMINARY"


def test_an_object_with_something_pending_is_partial():
    images = study()
    announced = write_status(account(images, WAITING), images[0], AUTHOR)
    final = write_status(account(images, DONE), images[0], AUTHOR)

    assert [announced.CompletionFlag, final.CompletionFlag] == ["PARTIAL", "COMPLETE"]
    assert announced.SOPInstanceUID != final.SOPInstanceUID
    assert announced.InstanceNumber < final.InstanceNumber


def test_all_inputs_and_results_are_evidence():
    images = study()
    dataset = write_status(account(images, DONE), images[0], AUTHOR)

    [of_study] = dataset.CurrentRequestedProcedureEvidenceSequence
    named = {
        one.ReferencedSOPInstanceUID
        for series in of_study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert named == {"2.25.77", *(ds.SOPInstanceUID for ds in images)}


def test_a_revision_names_its_predecessor_and_stays_in_its_series():
    images = study()
    uid = images[0].StudyInstanceUID
    before = status_reference(uid, 1, final=True)
    dataset = write_status(account(images, DONE, revision=2, predecessor=before), images[0], AUTHOR)

    [document] = dataset.PredecessorDocumentsSequence
    [series] = document.ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == before.sop_instance_uid
    assert dataset.SeriesInstanceUID == before.series_instance_uid
    assert dataset.SOPInstanceUID != before.sop_instance_uid
    assert dataset.InstanceNumber == 4


def test_the_same_account_gives_the_same_bytes():
    images = study()

    def encoded():
        stream = BytesIO()
        dataset = write_status(account(images, DONE, BROKEN), images[0], AUTHOR)
        dataset.save_as(stream, enforce_file_format=True)
        return stream.getvalue()

    assert encoded() == encoded()


def test_the_patient_is_the_patient_of_the_images():
    images = ct_series(slices=3, PatientName="Müller^Jörg", SpecificCharacterSet="ISO_IR 100")
    dataset = write_status(account(images), images[0], AUTHOR)
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    stream.seek(0)

    read = dcmread(stream)
    assert read.SpecificCharacterSet == "ISO_IR 192"
    assert str(read.PatientName) == "Müller^Jörg"
    assert read.PatientID == images[0].PatientID


def test_a_study_without_instances_has_no_object():
    images = study()
    with pytest.raises(PermanentError, match="no instances"):
        write_status(replace(account(images), inputs=()), images[0], AUTHOR)


def lines_lit(page):
    """How many rows of the page have ink on them."""
    return int((page.max(axis=(1, 2)) > 120).sum())


def test_the_page_grows_with_what_there_is_to_say():
    images = study()
    short = render_status(account(images, DONE), "AI")
    long = render_status(account(images, DONE, BROKEN, GATED, not_run=("Head: no series",)), "AI")

    assert short.shape[1:] == long.shape[1:] == (1024, 3)
    assert lines_lit(long) > lines_lit(short)


def test_the_page_stays_a_page_however_much_there_is_to_say():
    images = study()
    sentences = tuple(f"rule {n}: {'no such series ' * 20}" for n in range(300))
    page = render_status(account(images, DONE, not_run=sentences), "AI")

    assert page.shape[0] < 2500


def test_a_word_longer_than_the_page_is_broken():
    images = study()
    page = render_status(account(images, not_run=("x" * 5000,)), "AI")

    assert not (page[:, -20:].max(axis=2) > 120).any()


def test_page_and_report_of_a_revision_are_two_objects_of_two_series():
    images = study()
    report = write_status(account(images, DONE), images[0], AUTHOR)
    page = write_status_picture(account(images, DONE), images[0], AUTHOR)

    assert report.SOPInstanceUID != page.SOPInstanceUID
    assert report.SeriesInstanceUID != page.SeriesInstanceUID
    assert page.BurnedInAnnotation == "YES"
    assert page.PatientID == images[0].PatientID


@pytest.mark.pacs
@pytest.mark.parametrize("write", [write_status, write_status_picture])
@pytest.mark.parametrize("runs", [(DONE, BROKEN, GATED), ()], ids=["some", "none"])
def test_no_validator_objects(runs, write, tmp_path):
    images = study()
    path = tmp_path / "status.dcm"
    dataset = write(account(images, *runs, not_run=("Head: no series",)), images[0], AUTHOR)
    dataset.save_as(path, enforce_file_format=True)

    assert objections(path) == set()
    if write is write_status:
        assert run_tool("dsrdump", path).returncode == 0
