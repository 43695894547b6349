"""Every object says whose it is, who made it, and what it is not; twice the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from engines.types import Provenance
from node.domain import ObjectForm, ResultKind
from node.encode.base import Encoded, encode, write
from node.encode.case import Case
from node.encode.marking import series_description, uid
from node.encode.warm import warm_up
from node.errors import PermanentError
from tests.encode.conftest import ALL_KINDS, SOURCES, lungs, make_context, make_source, view_of


def written(encoded):
    return b"".join(encoded.chunks())


def objects(source, **changes):
    return {
        one.kind: dcmread(BytesIO(written(one)))
        for one in encode(lungs(source), source, make_context(source, **changes))
    }


@pytest.mark.parametrize("kind", SOURCES)
def test_all_objects_carry_the_same_marks(kind, source_of):
    source = source_of(kind)
    made = objects(source)

    assert list(made) == list(ALL_KINDS)
    for number, ds in enumerate(made.values()):
        assert ds.Manufacturer == ds.ManufacturerModelName == "Wetread"
        assert list(ds.SoftwareVersions) == ["Wetread 0.1.0", "lungs 1.2.0", "sha256:" + "cd" * 8]
        assert ds.SeriesNumber == 9000 + number
        assert ds.SeriesDescription.startswith("AI Lungs ")
        assert ds.SeriesDescription.endswith(" UNVERIFIED")
        assert (ds.ContentDate, ds.ContentTime) == ("20260304", "050607")
        assert (ds.InstanceCreationDate, ds.InstanceCreationTime) == ("20260304", "050607")
        scanner, node = ds.ContributingEquipmentSequence
        assert scanner.Manufacturer == "Builder"
        assert node.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert "Outlines the lungs" in node.ContributionDescription
        assert "RESEARCH USE ONLY" in node.ContributionDescription


def test_how_the_run_fell_back_is_written_in_every_object(source_of):
    note = "backend 'tensorrt': no NVIDIA driver"
    provenance = Provenance("lungs", "1.2.0", "cd" * 32, "onnx", "cpu", 1.0, (note,))

    made = objects(source_of(SOURCES[0]), provenance=provenance)

    for ds in made.values():
        _, node = ds.ContributingEquipmentSequence
        assert node.ContributionDescription.endswith(f" Note: {note}.")
    report = next(ds for ds in made.values() if ds.Modality == "SR")
    assert f"notes={note}" in report.to_json().replace("\\", "")


def test_patient_and_study_come_from_the_source_in_every_object(source_of):
    source = source_of("ct", PatientAge="065Y", IssuerOfPatientID="HOSPITAL")
    for ds in objects(source).values():
        assert str(ds.PatientName) == "Builder^Patient"
        assert (ds.PatientID, ds.IssuerOfPatientID) == ("BUILDER-1", "HOSPITAL")
        assert (ds.StudyDescription, ds.PatientAge) == ("Thorax", "065Y")
        assert ds.SpecificCharacterSet == "ISO_IR 192"


def test_the_report_is_preliminary_and_unverified(source_of):
    report = objects(source_of("ct"))[ResultKind.SR]

    flags = (report.VerificationFlag, report.PreliminaryFlag, report.CompletionFlag)
    assert flags == ("UNVERIFIED", "PRELIMINARY", "COMPLETE")


def test_a_long_description_keeps_prefix_kind_and_warning(source_of):
    context = make_context(source_of("ct"), series_description="word " * 30)
    for kind in ResultKind:
        description = series_description(context, kind.value)
        assert len(description) <= 64
        assert description.startswith("AI word")
        assert description.endswith(f"... {kind.value} UNVERIFIED")


def test_a_long_intended_use_fits_its_element(source_of):
    for ds in objects(source_of("ct"), intended_use="purpose " * 400).values():
        assert len(ds.ContributingEquipmentSequence[-1].ContributionDescription) <= 1024


def test_times_follow_the_offset_of_the_source(source_of):
    source = source_of("ct", TimezoneOffsetFromUTC="+0530")
    made_at = datetime(2026, 3, 4, 22, 0, tzinfo=UTC)
    ds = objects(source, made_at=made_at)[ResultKind.SC]

    assert (ds.ContentDate, ds.ContentTime) == ("20260305", "033000")
    assert ds.TimezoneOffsetFromUTC == "+0530"


def test_a_time_without_zone_is_refused(source_of):
    source = source_of("ct")
    naive = datetime(2026, 3, 4, tzinfo=timezone(timedelta())).replace(tzinfo=None)

    with pytest.raises(PermanentError, match="time zone"):
        objects(source, made_at=naive)


def test_another_model_version_gives_other_uids(source_of):
    source = source_of("ct")
    first = objects(source)
    other = objects(source, run_key="99" * 32)

    for kind in ALL_KINDS:
        assert first[kind].SOPInstanceUID != other[kind].SOPInstanceUID
        assert first[kind].SeriesInstanceUID != other[kind].SeriesInstanceUID


_ENCODE_AND_HASH = """
import hashlib, sys
from pathlib import Path
from tests.encode.conftest import lungs, make_context, make_source, view_of
from tests.encode.test_marking import written
from node.encode.base import Encoded, encode, write
from node.encode.case import Case
from node.domain import ObjectForm, ResultKind
source = make_source(sys.argv[1], Path(sys.argv[2]))
digest = hashlib.sha256()
for one in encode(lungs(source), source, make_context(source)):
    digest.update(written(one))
kinds = (ResultKind.SR, ResultKind.SC)
for one in encode(view_of("PA"), source, make_context(source, kinds=kinds)):
    digest.update(written(one))
print(digest.hexdigest())
"""


@pytest.mark.parametrize("kind", ["enhanced", "DX"])
def test_two_processes_at_two_times_write_the_same_bytes(kind, tmp_path):
    make_source(kind, tmp_path / "a")
    digests = set()
    started = int(time.time())
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", _ENCODE_AND_HASH, kind, str(tmp_path / seed)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": f"UTC-{seed}"},
        )
        digests.add(run.stdout)
    assert int(time.time()) > started
    assert len(digests) == 1


def test_a_classification_has_no_segmentation(source_of):
    source = source_of("DX")
    with pytest.raises(PermanentError, match="cannot be written as SEG"):
        encode(view_of("PA"), source, make_context(source))


@dataclass(frozen=True)
class Note:
    """A result type that some other distribution brings."""

    words: str


def test_another_result_type_brings_its_own_encoder(source_of):
    @write.register
    def write_note(result: Note, case: Case) -> list[Encoded]:
        dataset = Dataset()
        dataset.SOPInstanceUID = uid(case.context, "note")
        dataset.ContentDescription = result.words
        return [Encoded(ObjectForm.SC, dataset)]

    source = source_of("DX")
    (one,) = encode(Note("hello"), source, make_context(source))
    assert (one.dataset.ContentDescription, one.dataset.Manufacturer) == ("hello", "Wetread")


def test_what_is_made_of_a_lossy_image_stays_lossy(source_of):
    source = source_of(
        "DX",
        LossyImageCompression="01",
        LossyImageCompressionRatio="12.5",
        LossyImageCompressionMethod="ISO_10918_1",
    )
    made = objects(source)
    for kind in (ResultKind.SEG, ResultKind.SC):
        assert made[kind].LossyImageCompression == "01"
        assert made[kind].LossyImageCompressionRatio == 12.5


def test_an_unknown_result_type_is_refused_by_name(source_of):
    source = source_of("DX")
    with pytest.raises(PermanentError, match="no encoder is registered for str"):
        encode("not a result", source, make_context(source))


def test_warming_up_leaves_nothing_behind():
    warm_up()
