"""Compressed frames are decoded, by decoders of others, to what they were."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.rle import _rle_decode_frame
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from engines.types import ImageResult
from node.domain import ObjectForm, Packing
from node.encode.base import encode
from node.encode.compression import pixel_data
from tests.builders.tools import objections, run_tool
from tests.encode.conftest import lungs, make_context, make_source

SYNTAXES = [RLELossless, JPEG2000Lossless, DeflatedExplicitVRLittleEndian]
FORMS = [
    ObjectForm.SC,
    ObjectForm.SC_MULTIFRAME,
    ObjectForm.DERIVED,
    ObjectForm.SEG_LABELMAP,
]


def written(form, source, syntax):
    """One object of a form, in a transfer syntax."""
    result = lungs(source)
    if form is ObjectForm.DERIVED:
        result = ImageResult(source.volume.voxels * np.float32(0.7) - 300, "Denoised")
    packing = Packing(transfer_syntax_uid=syntax)
    return encode(result, source, make_context(source), [form], packing=packing)[0]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
@pytest.mark.parametrize("form", FORMS)
def test_pydicom_decodes_what_was_meant(form, syntax, source_of):
    source = source_of("ct")
    plain = written(form, source, ExplicitVRLittleEndian).read()
    one = written(form, source, syntax)
    ds = one.read()

    assert ds.file_meta.TransferSyntaxUID == syntax
    assert ds.SOPInstanceUID == plain.SOPInstanceUID
    assert b"".join(one.chunks()) == b"".join(one.chunks())
    assert np.array_equal(ds.pixel_array, plain.pixel_array)
    if syntax.is_encapsulated:
        ds.decompress(generate_instance_uid=False)
    del ds["PixelData"], plain["PixelData"]
    assert ds == plain


@pytest.mark.parametrize("form", [ObjectForm.SC, ObjectForm.SC_MULTIFRAME, ObjectForm.DERIVED])
def test_compressed_pictures_are_smaller(form, source_of):
    source = source_of("ct", rows=128, columns=128)
    sizes = [
        sum(map(len, written(form, source, syntax).chunks()))
        for syntax in (ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless)
    ]
    assert max(sizes[1:]) < sizes[0]


@pytest.mark.parametrize("columns", [1, 7, 127, 128, 129, 300])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_run_lengths_of_any_picture_are_decoded_to_it(dtype, columns):
    random = np.random.default_rng(columns)
    noise = (random.integers(0, 3, (5, columns)) * 107 - 70).astype(dtype)
    frames = [noise, np.zeros_like(noise), noise // 100, np.repeat(noise[:1], 5, axis=0)]

    encoded = b"".join(pixel_data(frames, 0, RLELossless))[12:]
    bits = 8 * np.dtype(dtype).itemsize
    found = list(generate_frames(encoded, number_of_frames=len(frames)))
    for frame, one in zip(frames, found, strict=True):
        assert bytes(_rle_decode_frame(one, 5, columns, 1, bits)) == frame.tobytes()


@pytest.mark.pacs
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
@pytest.mark.parametrize("form", FORMS)
def test_dcmtk_decodes_it_and_no_validator_objects(form, syntax, tmp_path):
    source = make_source("ct", tmp_path / "source")
    path, decoded = tmp_path / "one.dcm", tmp_path / "decoded.dcm"
    path.write_bytes(b"".join(written(form, source, syntax).chunks()))

    if syntax != JPEG2000Lossless:  # which DCMTK does not decode
        tool = ["dcmdrle"] if syntax == RLELossless else ["dcmconv", "+te"]
        read = run_tool(tool[0], *tool[1:], path, decoded)
        assert read.returncode == 0, read.stderr
        assert np.array_equal(dcmread(decoded).pixel_array, dcmread(path).pixel_array)
    # dciodvfy does not inflate.
    assert objections(path if syntax.is_encapsulated else decoded) == set()
