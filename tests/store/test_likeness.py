"""What is read by likeness is what the scanner says without."""

from __future__ import annotations

import struct

import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from node.store.elements import ELEMENTS
from node.store.likeness import MOST_ELEMENTS, Likeness
from node.store.scanner import WINDOW_BYTES
from tests.builders import ct_series
from tests.builders.encoded import element, instance, item, sequence
from tests.builders.wire import data_set_of
from tests.fuzz.header import begun, check_likeness, data_set_in, images_of_a_series, text_of

LEARNED = 3
"""After so many images of a series the next one is known."""


def image(*elements, number=1, implicit=False):
    """A data set of an image with more elements."""
    return data_set_in(
        instance(
            element("SOPInstanceUID", f"1.2.3.{number}", implicit=implicit),
            element("InstanceNumber", str(number), implicit=implicit),
            element("SeriesDescription", f"Series {number}", implicit=implicit),
            element("PixelData", bytes(8192), vr="OW", implicit=implicit),
            *elements,
            implicit=implicit,
        )
    )


def taught(*data_sets, implicit=False):
    """A likeness after some images."""
    likeness = Likeness()
    for data_set in data_sets:
        begun(data_set, implicit, likeness)
    return likeness


def known(likeness, data_set, implicit=False):
    """What it says by itself."""
    return likeness.read(data_set, 0, implicit)


def assert_left_to_the_scanner(likeness, data_set):
    alone = begun(data_set, False, Likeness())
    assert known(likeness, data_set) is None
    assert begun(data_set, False, likeness) == alone
    assert begun(data_set, False, likeness) == alone


@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
def test_from_the_fourth_image_on_a_series_is_known(implicit):
    images = images_of_a_series(implicit, 40)
    likeness = taught(*images[:LEARNED], implicit=implicit)

    for data_set in images[LEARNED:]:
        assert text_of(known(likeness, data_set, implicit)) == begun(data_set, implicit, Likeness())


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_the_images_of_a_scanner_read_the_same(syntax):
    likeness = Likeness()
    implicit = syntax == ImplicitVRLittleEndian
    for number, ds in enumerate(ct_series(slices=20, rows=128, columns=128)):
        ds.file_meta.TransferSyntaxUID = syntax
        data_set = data_set_of(ds)
        assert begun(data_set, implicit, likeness) == begun(data_set, implicit, Likeness())
        assert number < LEARNED or known(likeness, data_set, implicit) is not None


def test_the_next_series_takes_one_image_to_be_known():
    first, second = (element("SeriesInstanceUID", f"1.2.{number}") for number in (1, 2))
    likeness = taught(*[image(first, number=number) for number in range(10)])

    assert known(likeness, image(second, number=10)) is None
    begun(image(second, number=10), False, likeness)

    assert known(likeness, image(second, number=11)).series_instance_uid == "1.2.2"
    assert known(likeness, image(first, number=12)) is None


@pytest.mark.parametrize(
    "other",
    [
        element("InstanceNumber", ""),
        element("InstanceNumber", " "),
        element("InstanceNumber", "1_0"),
        element("SeriesDescription", ""),
        element("SeriesDescription", " "),
        element("SeriesDescription", "x" * 5000),
        element("InstanceNumber", "7", vr="LO"),
        element("InstanceNumber", "7" * 5000),
        element("InstanceNumber", "7", length=0xFFFF),
        element("SliceThickness", "1.5"),
        element("Modality", "MR"),
        element("SpecificCharacterSet", "ISO_IR 192"),
        element("PixelData", bytes(100), vr="OW"),
        element("PixelData", bytes(8192), vr="OB"),
        element("PixelData", bytes(8192), vr="??"),
        sequence("ReferencedImageSequence", item(b"", defined=False)),
    ],
)
def test_what_is_not_alike_is_left_to_the_scanner(other):
    likeness = taught(*[image(number=number) for number in range(4)])

    assert_left_to_the_scanner(likeness, image(other, number=9))


def test_another_encoding_is_left_to_the_scanner():
    likeness = taught(*[image(number=number) for number in range(4)])

    assert known(likeness, image(number=9), implicit=True) is None


def test_the_scanner_sees_an_element_of_a_wrong_vr_that_was_empty_so_far():
    empty, full = (element("SliceThickness", value, vr="LO") for value in ("", "1.5"))
    likeness = taught(*[image(empty, number=number) for number in range(4)])

    assert begun(image(empty, number=9), False, likeness) != "None"
    assert_left_to_the_scanner(likeness, image(full, number=9))


def test_text_that_varies_is_decoded_by_the_character_set_of_its_series():
    charset = element("SpecificCharacterSet", "ISO_IR 144")
    images = [
        image(charset, element("SeriesDescription", f"Грудь {number}".encode("iso8859_5")))
        for number in range(6)
    ]
    likeness = taught(*images[:4])

    assert known(likeness, images[5]).attributes["SeriesDescription"] == "Грудь 5"


def test_a_character_set_stands_for_its_series_wherever_another_element_varied_before():
    def with_length_to_end(number):
        length = element(0x00080001, struct.pack("<I", number), vr="UL")
        return image(length, number=number)

    def in_greek(number, term):
        text = element("SeriesDescription", f"Θώρακας {number}".encode("iso8859_7"))
        return image(element("SpecificCharacterSet", term), text, number=number)

    likeness = taught(*[with_length_to_end(number) for number in range(4)])
    for number in range(4):
        begun(in_greek(number, "ISO_IR 126"), False, likeness)

    assert known(likeness, in_greek(5, "ISO_IR 126")).attributes["SeriesDescription"] == "Θώρακας 5"
    assert_left_to_the_scanner(likeness, in_greek(6, "ISO_IR 144"))


def test_a_sequence_may_vary_between_defined_and_undefined_length():
    images = [
        image(
            sequence(
                "ReferencedImageSequence",
                item(element("ReferencedSOPInstanceUID", f"1.2.{number}"), defined=number % 3 == 0),
                defined=number % 2 == 0,
            ),
            number=number,
        )
        for number in range(12)
    ]
    likeness = taught(*images[:4])

    for data_set in images[4:]:
        assert text_of(known(likeness, data_set)) == begun(data_set, False, Likeness())


def test_what_goes_on_behind_the_window_is_left_to_the_scanner():
    far = [
        image(element(0x00291010, bytes(WINDOW_BYTES - 2000 - number), vr="OB"), number=number)
        for number in range(4)
    ]
    near = [image(element(0x00291010, b"", vr="OB"), number=number) for number in range(4)]

    assert known(taught(*far), far[0]) is None
    assert_left_to_the_scanner(taught(*near), far[0])


def test_a_header_of_very_many_elements_is_not_remembered():
    def private(count):
        return [element(0x00290000 + tag, b"", vr="OB") for tag in range(0x1000, 0x1000 + count)]

    many = [image(*private(MOST_ELEMENTS), number=number) for number in range(4)]
    few = [image(*private(MOST_ELEMENTS - 20), number=number) for number in range(4)]

    assert known(taught(*many), many[0]) is None
    assert known(taught(*few), few[0]) is not None


def test_a_sender_whose_images_have_nothing_in_common_is_not_learned_from_for_ever():
    likeness = Likeness()
    optional = [one.keyword for one in ELEMENTS.values() if one.vr == b"CS"]
    for number in range(40):
        begun(image(element(optional[number % 2], "X"), number=number), False, likeness)

    again = [image(element(optional[2], "X"), number=number) for number in range(8)]
    for data_set in again:
        begun(data_set, False, likeness)
    assert known(likeness, again[-1]) is None


def test_every_flipped_bit_reads_as_without_likeness():
    images = images_of_a_series(False)
    likeness = taught(*images[:LEARNED])
    last = images[-1]
    end = last.index(struct.pack("<HH", 0x7FE0, 0x0010)) + 12
    for at in range(end):
        for bit in range(8):
            flipped = bytearray(last)
            flipped[at] ^= 1 << bit
            said = known(likeness, bytes(flipped))
            assert said is None or text_of(said) == begun(bytes(flipped), False, Likeness())


def test_a_data_set_cut_anywhere_reads_as_without_likeness():
    last = images_of_a_series(False)[-1]
    end = last.index(struct.pack("<HH", 0x7FE0, 0x0010)) + 12
    for cut in (*range(end), *range(end, len(last), 61)):
        check_likeness(last[:cut])
