"""Every decoder gives what pydicom's gives, or leaves the frame to it."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import (
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from node.dicom.decode import decode, decodes
from node.dicom.file import HeaderReader
from node.dicom.header import lenient
from node.dicom.pixels import read_frames
from tests.builders import ct_series, enhanced_ct, write

LOSSLESS = (RLELossless, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless,
            HTJ2KLossless)  # fmt: skip


def compressed(syntax, *, signed, stored, precision=None, allocated=16):
    """An image of random stored values, and those; `precision` is that of the codestream."""
    precision = precision or stored
    low, high = (-(2 ** (stored - 1)), 2 ** (stored - 1)) if signed else (0, 2**stored)
    values = np.random.default_rng(stored).integers(low, high, (16, 12))
    values[0, 0], values[0, 1] = low, high - 1
    image = ct_series(slices=1, BitsAllocated=allocated, BitsStored=stored, HighBit=stored - 1,
                      PixelRepresentation=int(signed))[0]  # fmt: skip
    container = np.dtype(f"<{'i' if signed else 'u'}{allocated // 8}")
    samples = values.astype(container)
    bits = samples.view(f"<u{allocated // 8}") & (2**precision - 1)
    frame = {
        JPEGLSLossless: lambda: imagecodecs.jpegls_encode(bits),
        JPEGLossless: lambda: imagecodecs.ljpeg_encode(bits, bitspersample=precision),
        JPEGLosslessSV1: lambda: imagecodecs.ljpeg_encode(bits, bitspersample=precision),
        JPEG2000Lossless: lambda: imagecodecs.jpeg2k_encode(
            samples, codecformat="j2k", reversible=True, bitspersample=precision
        ),
        HTJ2KLossless: lambda: imagecodecs.htj2k_encode(samples),
        RLELossless: lambda: RLELosslessEncoder.encode(
            samples.tobytes(),
            rows=16,
            columns=12,
            samples_per_pixel=1,
            number_of_frames=1,
            bits_allocated=allocated,
            bits_stored=stored,
            pixel_representation=int(signed),
            photometric_interpretation="MONOCHROME2",
        ),
    }[syntax]()
    image.PixelData = encapsulate([frame])
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = syntax
    return image, values


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("stored", [8, 12, 16])
@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.keyword)
def test_lossless_frames_give_the_stored_values_that_pydicom_gives(
    tmp_path, syntax, stored, signed
):
    allocated = 8 if stored == 8 else 16
    image, values = compressed(syntax, signed=signed, stored=stored, allocated=allocated)
    (path,) = write(image, tmp_path)
    with lenient():
        theirs, _ = get_decoder(syntax).as_array(image, raw=True)
        ((ours, _),) = read_frames(HeaderReader().read(path))

    np.testing.assert_array_equal(ours, values)
    if not (syntax == JPEGLSLossless and signed and stored == 12):  # pydicom forgets the sign
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.keyword)
def test_the_fast_decoders_decode_twelve_bits(syntax):
    image, values = compressed(syntax, signed=False, stored=12)
    frame = next(generate_frames(image.PixelData, number_of_frames=1))

    assert decodes(syntax, image)
    np.testing.assert_array_equal(decode(frame, syntax, image), values)


def test_a_codestream_with_more_bits_than_stored_has_them_cleared():
    image, values = compressed(JPEGLosslessSV1, signed=False, stored=12, precision=16)
    image, _ = compressed(JPEGLosslessSV1, signed=False, stored=12, precision=16)
    frame = imagecodecs.ljpeg_encode((values | 0x3000).astype("<u2"), bitspersample=16)

    np.testing.assert_array_equal(decode(frame, JPEGLosslessSV1, image), values)


def test_a_codestream_of_another_precision_is_left_to_pydicom():
    image, _ = compressed(JPEGLosslessSV1, signed=True, stored=12, precision=14)
    frame = next(generate_frames(image.PixelData, number_of_frames=1))

    assert decode(frame, JPEGLosslessSV1, image) is None


def test_run_lengths_that_cannot_fill_the_frame_are_not_decoded():
    image, _ = compressed(RLELossless, signed=False, stored=12)
    image.Rows = image.Columns = 30000

    assert decode(bytes(100), RLELossless, image) is None


def frames_of(tmp_path, frames, number_of_frames, **options):
    """Frames of a compressed multi-frame image with these codestreams."""
    image = enhanced_ct(slices=number_of_frames)
    image.PixelData = encapsulate(frames, **options)
    image["PixelData"].VR = "OB"
    image.file_meta.TransferSyntaxUID = JPEG2000Lossless
    (path,) = write(image, tmp_path)
    with lenient():
        return [stored for stored, _ in read_frames(HeaderReader().read(path))]


@pytest.mark.parametrize("fragments", [1, 2])
@pytest.mark.parametrize("has_bot", [True, False])
def test_frames_of_several_fragments_are_put_together(tmp_path, fragments, has_bot):
    expected = [np.full((16, 12), 100 * k, np.uint16) for k in range(4)]
    codestreams = [
        imagecodecs.jpeg2k_encode(one, codecformat="j2k", reversible=True, bitspersample=12)
        for one in expected
    ]

    frames = frames_of(tmp_path, codestreams, 4, fragments_per_frame=fragments, has_bot=has_bot)

    np.testing.assert_array_equal(frames, expected)
