"""Label maps and fractional segments hold the same voxels as the result, in any syntax."""

from __future__ import annotations

import dataclasses

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from node.domain import ObjectForm, Packing
from node.encode.base import encode
from node.errors import PermanentError
from tests.encode.conftest import LEFT, OBLIQUE, RIGHT, lungs, make_context

SYNTAXES = [
    ExplicitVRLittleEndian,
    RLELossless,
    JPEG2000Lossless,
    DeflatedExplicitVRLittleEndian,
]


def label_map(ds, source):
    """Read the segment numbers at the source's slices with highdicom, axes (k, j, i)."""
    seg = hd.seg.Segmentation.from_dataset(ds)
    images = source.datasets
    if source.frame_numbers is None:
        return seg.get_pixels_by_source_instance(
            [image.SOPInstanceUID for image in images],
            combine_segments=True,
            assert_missing_frames_are_empty=True,
        )
    return seg.get_pixels_by_source_frame(
        images[0].SOPInstanceUID,
        list(source.frame_numbers),
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
@pytest.mark.parametrize("kind", ["ct", "enhanced", "oblique"])
def test_a_label_map_comes_back_voxel_by_voxel(kind, syntax, source_of, tmp_path):
    source = source_of("ct", orientation=OBLIQUE) if kind == "oblique" else source_of(kind)
    result = lungs(source)
    packing = Packing(transfer_syntax_uid=syntax)
    (one,) = encode(
        result, source, make_context(source), [ObjectForm.SEG_LABELMAP], packing=packing
    )
    path = tmp_path / "seg.dcm"
    path.write_bytes(b"".join(one.chunks()))
    ds = dcmread(path)

    assert ds.file_meta.TransferSyntaxUID == syntax
    expected = np.zeros_like(result.labelmap)
    for number, label in enumerate((LEFT, RIGHT), 1):
        expected[result.labelmap == label.value] = number
    assert np.array_equal(label_map(ds, source), expected)


def test_the_syntax_changes_no_uid(source_of):
    source = source_of("ct")
    uids = {
        encode(
            lungs(source),
            source,
            make_context(source),
            [ObjectForm.SEG_LABELMAP],
            packing=Packing(transfer_syntax_uid=syntax),
        )[0].dataset.SOPInstanceUID
        for syntax in SYNTAXES
    }
    assert len(uids) == 1


def test_frames_and_functional_groups_are_never_in_memory_together(source_of):
    source = source_of("ct", slices=40, rows=128, columns=128)
    (one,) = encode(lungs(source), source, make_context(source), [ObjectForm.SEG_BINARY])

    pieces = [len(chunk) for chunk in one.chunks()]
    assert max(pieces) < sum(pieces) / 8


def test_binary_segments_are_never_compressed(source_of):
    source = source_of("ct")
    for syntax in SYNTAXES:
        packing = Packing(transfer_syntax_uid=syntax)
        (one,) = encode(
            lungs(source), source, make_context(source), [ObjectForm.SEG_BINARY], packing=packing
        )
        assert one.read().file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_fractions_are_the_probabilities(syntax, source_of):
    source = source_of("ct")
    result = lungs(source)
    probabilities = np.stack(
        [(result.labelmap == label.value) * np.uint8(200) for label in result.labels]
    )
    probabilities[:, 3, 8, 4] = 60
    result = dataclasses.replace(result, probabilities=probabilities)
    packing = Packing(transfer_syntax_uid=syntax)
    (one,) = encode(
        result, source, make_context(source), [ObjectForm.SEG_FRACTIONAL], packing=packing
    )
    ds = one.read()

    assert ds.file_meta.TransferSyntaxUID == syntax
    assert (ds.SegmentationType, ds.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    seg = hd.seg.Segmentation.from_dataset(ds)
    pixels = seg.get_pixels_by_source_instance(
        [image.SOPInstanceUID for image in source.datasets],
        assert_missing_frames_are_empty=True,
        rescale_fractional=False,
    )
    assert np.array_equal(np.moveaxis(pixels, -1, 0), probabilities[::-1])


def test_without_probabilities_nothing_is_made_up(source_of):
    source = source_of("ct")

    with pytest.raises(PermanentError, match="cannot be written as SEG_FRACTIONAL"):
        encode(lungs(source), source, make_context(source), [ObjectForm.SEG_FRACTIONAL])
