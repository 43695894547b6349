"""The images of a study by series; whatever is left out is left out with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.plan.series import summarise
from tests.plan.builders import CT, SECONDARY_CAPTURE, STORAGE, ct, dx, instance


def test_a_series_is_summarised():
    (series,), left_out = summarise(ct(slices=4))

    assert left_out == []
    assert series.series_instance_uid == "1.2.1"
    assert series.attributes["Modality"] == "CT"
    assert series.attributes["SOPClassUID"] == STORAGE + "2"
    assert series.attributes["slices"] == 4
    assert series.attributes["series_instances"] == 4
    assert series.attributes["spacing_mm"] == 2.5


def test_series_come_in_the_order_of_their_numbers_those_without_one_last():
    instances = [
        *ct(series="1.2.5", SeriesNumber=None),
        *ct(series="1.2.6", SeriesNumber="10"),
        *ct(series="1.2.7", SeriesNumber=9),
    ]

    assert [s.series_instance_uid for s in summarise(instances)[0]] == ["1.2.7", "1.2.6", "1.2.5"]


def test_of_several_versions_of_an_instance_the_latest_counts():
    old, new = instance(received_s=1, digest="old"), instance(received_s=9, digest="new")

    (series,), _ = summarise([new, old])

    assert [image.digest for image in series.instances] == ["new"]


def test_one_sop_instance_uid_in_two_series_is_two_images():
    twin = instance(series="1.2.1")
    other = instance(series="1.2.2")

    assert len(summarise([twin, other])[0]) == 2


@pytest.mark.parametrize(
    ("sop_class", "reason"),
    [
        ("88.11", "structured report, not an image"),
        ("88.67", "dose report, not an image"),
        ("88.59", "key object selection, not an image"),
        ("11.1", "presentation state, not an image"),
        ("66.4", "segmentation, not an image"),
        ("66.1", "registration, fiducials or surface, not an image"),
        ("481.3", "radiotherapy object, not an image"),
        ("104.1", "encapsulated document, not an image"),
        ("9.1.1", "waveform, not an image"),
        ("30", "parametric map, not an image"),
    ],
)
def test_an_object_that_is_no_image_is_left_out(sop_class, reason):
    series, left_out = summarise(
        [instance(sop_class=STORAGE + sop_class, Modality="SR", SeriesNumber=99)]
    )

    assert series == []
    assert left_out == [f"SR series 99 (1.2.1): 1 of 1 left out: {reason}"]


@pytest.mark.parametrize("change", [{"Rows": None}, {"Columns": 0}, {"Rows": "many"}, {"Rows": []}])
def test_an_object_without_rows_and_columns_is_left_out(change):
    assert summarise([instance(**change)]) == (
        [],
        ["CT series 2 (1.2.1): 1 of 1 left out: not an image (Rows or Columns is absent)"],
    )


def test_a_localizer_is_left_out_of_its_series():
    scout = instance(1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])

    (series,), left_out = summarise([scout, *ct(slices=4)[1:]])

    assert series.attributes["slices"] == 3
    assert left_out == ["CT series 2 (1.2.1): 1 of 4 left out: localizer (ImageType)"]


@pytest.mark.parametrize("name", ["Scout", "CHEST_SCOUT", "Topogram 0.6 T20f", "Surview"])
def test_a_short_series_that_is_named_scout_is_left_out_without_its_name(name):
    series, left_out = summarise(ct(slices=2, ImageType=None, SeriesDescription=name))

    assert series == []
    assert left_out == [
        "CT series 2 (1.2.1): 2 of 2 left out: localizer (named so, and no more than a few images)"
    ]


def test_a_long_series_that_is_named_scout_stays():
    assert len(summarise(ct(slices=40, SeriesDescription="after scout"))[0]) == 1


@pytest.mark.parametrize(
    "image_type",
    [
        None,
        [],
        "ORIGINAL",
        ["ORIGINAL", "PRIMARY", "AXIAL"],
        ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"],
        ["DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 SPI"],
        ["DERIVED", "PRIMARY"],
        ["ORIGINAL", "SECONDARY", "AXIAL"],
        ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM7 SPI DUAL"],
    ],
)
def test_what_scanners_write_on_slices_stays(image_type):
    assert len(summarise(ct(ImageType=image_type))[0]) == 1


@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
@pytest.mark.parametrize(
    "image_type",
    [
        ["DERIVED", "SECONDARY"],
        ["DERIVED", "SECONDARY", "MPR"],
        ["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 MPR"],
        ["DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"],
        ["DERIVED", "PRIMARY", "MIP"],
        ["derived", "secondary", "", "mpr"],
    ],
)
def test_a_reformat_is_left_out_unless_it_is_asked_for(modality, image_type):
    instances = ct(Modality=modality, ImageType=image_type)

    assert summarise(instances) == (
        [],
        [
            f"{modality} series 2 (1.2.1): 3 of 3 left out: derived image (ImageType); "
            "only rules with a condition on ImageType read it"
        ],
    )
    assert len(summarise(instances, keep_derived=True)[0]) == 1


def test_a_screen_save_is_left_out_even_if_derived_images_are_kept():
    page = ct(ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"])
    capture = ct(ImageType=None, sop_class=SECONDARY_CAPTURE, series="1.2.2")

    assert summarise([*page, *capture], keep_derived=True) == (
        [],
        [
            "CT series 2 (1.2.1): 3 of 3 left out: screen save or dose page (ImageType)",
            "CT series 2 (1.2.2): 3 of 3 left out: secondary capture",
        ],
    )


def test_our_own_results_are_left_out():
    assert summarise([instance(Manufacturer="Wetread")])[1] == [
        "CT series 2 (1.2.1): 1 of 1 left out: a result of Wetread itself"
    ]


@pytest.mark.parametrize("image_type", [["DERIVED", "PRIMARY"], ["ORIGINAL", "PRIMARY"], None])
def test_a_radiograph_stays_derived_or_not(image_type):
    assert len(summarise([dx(ImageType=image_type)])[0]) == 1


def test_a_digitised_film_stays():
    assert len(summarise([dx(sop_class=SECONDARY_CAPTURE, Modality="CR")])[0]) == 1


def test_raw_radiographs_are_left_out_when_there_are_images_for_presentation():
    raw = dx(2, series="1.2.8", PresentationIntentType="FOR PROCESSING", SeriesNumber=3)

    series, left_out = summarise([dx(), raw])

    assert [s.series_instance_uid for s in series] == ["1.2.9"]
    assert left_out == [
        "DX series 3 (1.2.8): 1 of 1 left out: for processing; "
        "the study has images for presentation"
    ]
    assert len(summarise([raw])[0]) == 1


@pytest.mark.parametrize(
    ("changes", "frames"),
    [
        ({"NumberOfFrames": 40}, 40),
        ({"NumberOfFrames": "40"}, 40),
        ({"NumberOfFrames": None}, 1),
        ({"NumberOfFrames": "x"}, 1),
        ({"NumberOfFrames": -3}, 1),
    ],
)
def test_slices_are_frames(changes, frames):
    assert summarise([instance(**changes)])[0][0].attributes["slices"] == frames


def test_the_spacing_of_a_multi_frame_image_is_the_written_one():
    (series,), _ = summarise([instance(NumberOfFrames=40, SpacingBetweenSlices="-1.25")])

    assert series.attributes["spacing_mm"] == 1.25


def test_the_spacing_is_measured_along_the_normal_and_repetitions_do_not_count():
    tilted = [1.0, 0.0, 0.0, 0.0, 0.8, 0.6]  # normal (0, -0.6, 0.8)
    positions = [[0, 0, 0], [0, 0, 5], [0, 0, 5], [0, 0, 10]]
    instances = [
        instance(n, ImageOrientationPatient=tilted, ImagePositionPatient=position)
        for n, position in enumerate(positions)
    ]

    assert summarise(instances)[0][0].attributes["spacing_mm"] == 4.0


@pytest.mark.parametrize(
    "change",
    [
        {"ImageOrientationPatient": None},
        {"ImageOrientationPatient": [1, 0, 0]},
        {"ImagePositionPatient": None},
        {"ImagePositionPatient": [0, 0]},
        {"ImagePositionPatient": ["a", "b", "c"]},
        {"ImagePositionPatient": [0, 0, float("nan")]},
        {"ImageOrientationPatient": [0, 1, 0, 0, 0, 1]},
    ],
)
def test_a_spacing_that_cannot_be_told_is_absent(change):
    instances = [*ct(slices=3), instance(4, **change)]

    assert "spacing_mm" not in summarise(instances)[0][0].attributes


def test_one_slice_has_no_spacing():
    assert "spacing_mm" not in summarise(ct(slices=1))[0][0].attributes


_STRANGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=8,
)


@given(
    attributes=st.lists(
        st.dictionaries(
            st.sampled_from([*CT, "NumberOfFrames", "SpacingBetweenSlices", "Manufacturer"]),
            _STRANGE,
        ),
        max_size=4,
    )
)
def test_strange_headers_never_stop_planning_and_each_instance_is_kept_or_explained(attributes):
    instances = [instance(n, **changes) for n, changes in enumerate(attributes)]

    series, left_out = summarise(instances)

    kept = sum(len(one.instances) for one in series)
    explained = sum(int(sentence.split(": ")[1].split()[0]) for sentence in left_out)
    assert kept + explained == len(instances)
