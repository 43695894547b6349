"""The data sets of storage commitment, held against pydicom's."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from node.dimse import commitment
from node.dimse.references import MOST_REFERENCES, encode_report, read_report, read_request

CT = "1.2.840.10008.5.1.4.1.1.2"
FAILED = 0x0112


def encoded(ds: Dataset, *, explicit: bool) -> bytes:
    """As pydicom writes it, in little endian."""
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = not explicit, True
    write_dataset(stream, ds)
    return bytes(stream.getvalue())


def request(count: int) -> Dataset:
    return commitment.action_information("2.25.5", [(CT, f"2.25.{n}") for n in range(count)])


references = st.lists(
    st.tuples(
        st.sampled_from([CT, "1.2.840.10008.5.1.4.1.1.4"]),
        st.from_regex(r"[12](\.[1-9][0-9]{0,8}){1,6}", fullmatch=True),
    ),
    max_size=5,
    unique_by=lambda one: one[1],
)


@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
@pytest.mark.parametrize("undefined", [False, True], ids=["lengths", "delimiters"])
@settings(max_examples=50, deadline=None)
@given(wanted=references.filter(bool))
def test_a_request_reads_as_pydicom_reads_it(explicit, undefined, wanted):
    ds = commitment.action_information("2.25.5", wanted)
    ds.RetrieveAETitle = "PACS"
    ds.ReferencedPerformedProcedureStepSequence = [request(2)]
    for name in ("ReferencedSOPSequence", "ReferencedPerformedProcedureStepSequence"):
        ds[name].is_undefined_length = undefined
        for item in ds[name].value:
            item.is_undefined_length_sequence_item = undefined

    read = read_request(encoded(ds, explicit=explicit), explicit=explicit)

    assert read == commitment.read_request(ds) == ("2.25.5", wanted)


@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
@settings(max_examples=50, deadline=None)
@given(committed=references, failed=references)
def test_a_report_is_written_and_read_as_pydicom_does(explicit, committed, failed):
    reasons = dict.fromkeys(failed, FAILED)
    ds = commitment.event_information("2.25.5", committed, reasons)

    written = encode_report("2.25.5", committed, reasons, explicit=explicit)

    assert written == encoded(ds, explicit=explicit)
    assert read_report(written, explicit=explicit) == commitment.read_report(ds)


def test_a_failure_without_a_reason_is_one():
    ds = commitment.event_information("2.25.5", [], {(CT, "2.25.1"): FAILED})
    del ds.FailedSOPSequence[0].FailureReason

    assert read_report(encoded(ds, explicit=True), explicit=True).failed == {"2.25.1": 0x0110}


def test_what_names_nothing_or_no_transaction_is_refused():
    nothing, anonymous = request(0), request(1)
    del anonymous.TransactionUID
    for ds, reason in ((nothing, "1199"), (anonymous, "1195")):
        with pytest.raises(ValueError, match=reason):
            read_request(encoded(ds, explicit=False), explicit=False)


def test_what_names_too_much_is_refused():
    most = encoded(request(MOST_REFERENCES + 1), explicit=False)

    with pytest.raises(ValueError, match=f"more than {MOST_REFERENCES} references"):
        read_request(most, explicit=False)


@pytest.mark.parametrize("explicit", [False, True], ids=["implicit", "explicit"])
def test_a_data_set_cut_anywhere_is_refused_or_names_less(explicit):
    ds = request(3)
    ds.ReferencedSOPSequence[1].is_undefined_length_sequence_item = True
    whole = encoded(ds, explicit=explicit)
    for length in range(len(whole)):
        with pytest.raises(ValueError, match=r"ends inside|more than there are|1195|1199"):
            read_request(whole[:length], explicit=explicit)


def test_sequences_in_sequences_in_sequences_are_refused():
    ds = request(1)
    for _ in range(50):
        outer = request(1)
        outer.ReferencedSOPSequence = Sequence([ds])
        ds = outer

    with pytest.raises(ValueError, match="nested"):
        read_request(encoded(ds, explicit=False), explicit=False)


def test_millions_of_tiny_elements_cost_no_memory():
    tiny = b"".join(struct.pack("<HHI", 0x10, number & 0xFFFF, 0) for number in range(500_000))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="1199"):
            read_request(tiny, explicit=False)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
