"""The template of the file meta information is what pydicom would have written."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from node.store.file_meta import IMPLEMENTATION_CLASS_UID, file_meta


def by_pydicom(sop_class_uid, sop_instance_uid, transfer_syntax_uid, calling_ae_title):
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = "WETREAD"
    meta.SourceApplicationEntityTitle = calling_ae_title
    stream = DicomBytesIO()
    write_file_meta_info(stream, meta, enforce_standard=True)
    return b"\x00" * 128 + b"DICM" + stream.getvalue()


@pytest.mark.parametrize("ae_title", ["C", "CT", "CT 1", "A" * 15, "A" * 16])
@pytest.mark.parametrize("sop_instance_uid", ["1.2", "1.2.3", "1." + "2" * 61, "1." + "2" * 62])
@pytest.mark.parametrize("sop_class_uid", ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.1"])
@pytest.mark.parametrize("transfer_syntax_uid", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
def test_it_is_byte_for_byte_what_pydicom_writes(
    sop_class_uid, sop_instance_uid, transfer_syntax_uid, ae_title
):
    values = (sop_class_uid, sop_instance_uid, transfer_syntax_uid, ae_title)

    assert file_meta(*values) == by_pydicom(*values)


@pytest.mark.filterwarnings("ignore:.*VR UI")
@pytest.mark.parametrize("uid", ["../../etc/passwd", "letters", "1..2", "1." + "3" * 126])
def test_a_uid_that_is_none_stands_there_as_it_came(uid):
    content = file_meta("1.2.840.10008.5.1.4.1.1.2", uid, "1.2.840.10008.1.2.1", "CT1")

    assert dcmread(BytesIO(content)).file_meta.MediaStorageSOPInstanceUID == uid
