"""What a report says as a structured report: coded, with its evidence, and never as a signature."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import pytest
from pydicom import dcmread

from engines.types import Code
from nlp.extract import extract_findings
from node.encode.discordance import Contradiction, DiscordanceAccount, write_discordances
from node.encode.document import Reference
from node.encode.findings import ReportAccount, findings_uids, write_findings
from node.errors import PermanentError
from tests.builders import ct_series
from tests.builders.tools import objections, run_tool
from tests.encode.test_status import AUTHOR, words

TEXT = (
    "FINDINGS:\nNew large right pneumothorax. No pleural effusion. "
    "A 12 x 8 mm spiculated nodule in the left upper lobe, possibly stable.\n"
    "IMPRESSION:\nRight pneumothorax. 结节。"
)


def references(images):
    return tuple(
        Reference(ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID) for ds in images
    )


def account(images, **changes):
    made = ReportAccount(
        study_instance_uid=images[0].StudyInstanceUID,
        report_key="ab" * 32,
        revision=1,
        status="final",
        digest="cd" * 32,
        received_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        found=extract_findings(TEXT),
        inputs=references(images),
    )
    return replace(made, **changes)


def contradictions(images, **changes):
    one = Contradiction(
        id="0123456789abcdef",
        model="ct-lungs@1.0.0",
        concept="pneumothorax",
        code=Code("36118008", "SCT", "Pneumothorax"),
        laterality="right",
        reported="absent",
        modelled="present (12.5 volume_ml)",
        stands="open",
    )
    made = DiscordanceAccount(
        study_instance_uid=images[0].StudyInstanceUID,
        digest="ef" * 32,
        changed_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        number=1,
        contradictions=[one, replace(one, code=None, laterality="")],
        inputs=references(images),
    )
    return write_discordances(replace(made, **changes), images[0], AUTHOR)


def found_in(dataset):
    """The containers of findings."""
    return [item for item in dataset.ContentSequence if item.ValueType == "CONTAINER"]


def saved(dataset):
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def test_each_finding_has_its_code_presence_side_and_the_words_with_their_place():
    images = ct_series()

    dataset = write_findings(account(images), images[0], AUTHOR)

    [said] = [words(one) for one in found_in(dataset) if "Pneumothorax" in words(one)]
    assert said[:4] == ["Pneumothorax", "Present", "present", "Right"]
    evidence = [text for text in said if text.startswith("pneumothorax [characters ")]
    start = int(evidence[0].split("characters ")[1].split(" to ")[0])
    assert TEXT[start:].lower().startswith("pneumothorax")
    [absent] = [words(one) for one in found_in(dataset) if "Pleural effusion" in words(one)]
    assert absent[:3] == ["Pleural effusion", "Absent", "absent"]


def test_sizes_are_numbers_with_their_axes():
    images = ct_series()

    dataset = write_findings(account(images), images[0], AUTHOR)

    numbers = {
        item.ConceptNameCodeSequence[0].CodeMeaning: float(
            item.MeasuredValueSequence[0].NumericValue
        )
        for one in found_in(dataset)
        for item in one.ContentSequence
        if item.ValueType == "NUM"
    }
    assert numbers == {"Long axis": 12.0, "Short axis": 8.0}


def test_it_says_that_software_has_read_it_and_nobody_has_verified_it():
    images = ct_series()

    dataset = write_findings(account(images), images[0], AUTHOR)

    assert dataset.VerificationFlag == "UNVERIFIED"
    assert dataset.PreliminaryFlag == "PRELIMINARY"
    assert "extracted by software from the text of a report" in " ".join(words(dataset))
    assert "UNVERIFIED" in dataset.SeriesDescription


@pytest.mark.parametrize(
    "write", [lambda i: write_findings(account(i), i[0], AUTHOR), contradictions]
)
def test_validators_have_no_objection_and_the_same_input_gives_the_same_bytes(write, tmp_path):
    images = ct_series()
    path = tmp_path / "report.dcm"
    path.write_bytes(saved(write(images)))

    assert objections(path) == set()
    assert run_tool("dsrdump", path).returncode == 0
    assert path.read_bytes() == saved(write(images))


def test_a_revision_names_the_object_of_the_one_before():
    images = ct_series()
    before = findings_uids(images[0].StudyInstanceUID, "ab" * 32, "00" * 32)

    dataset = write_findings(account(images, revision=2, predecessor=before), images[0], AUTHOR)

    [study] = dataset.PredecessorDocumentsSequence
    [reference] = study.ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert reference.ReferencedSOPInstanceUID == before.sop_instance_uid
    assert before.series_instance_uid == dataset.SeriesInstanceUID
    assert before.sop_instance_uid != dataset.SOPInstanceUID


def test_a_report_that_is_an_object_is_named_as_the_source():
    images = ct_series()
    source = references(images)[0]

    dataset = write_findings(account(images, source=source), images[0], AUTHOR)

    [item] = [one for one in dataset.ContentSequence if one.ValueType == "COMPOSITE"]
    [reference] = item.ReferencedSOPSequence
    assert reference.ReferencedSOPInstanceUID == source.sop_instance_uid


def test_patient_and_study_are_those_of_the_images():
    images = ct_series(PatientName="Zebrafinch^W", AccessionNumber="ACC7")

    for dataset in (write_findings(account(images), images[0], AUTHOR), contradictions(images)):
        read = dcmread(BytesIO(saved(dataset)))
        assert (read.PatientName, read.AccessionNumber) == ("Zebrafinch^W", "ACC7")
        assert read.StudyInstanceUID == images[0].StudyInstanceUID


def test_a_discordance_says_both_sides_and_how_it_stands():
    said = words(contradictions(ct_series()))

    assert "Report: absent. Model: present (12.5 volume_ml)." in said
    assert "Discordance 0123456789abcdef: open" in said


def test_without_an_instance_of_the_study_nothing_is_written():
    images = ct_series()

    with pytest.raises(PermanentError, match="no instance"):
        write_findings(account(images, inputs=()), images[0], AUTHOR)
