"""The builders give valid objects; all other tests rest on them."""

from __future__ import annotations

import pytest

from tests.builders import ct_series, enhanced_ct, radiograph, uid, write
from tests.builders.tools import run_tool

IMAGES = {
    "ct": lambda: ct_series(slices=2)[0],
    "enhanced ct": enhanced_ct,
    "dx": radiograph,
    "cr": lambda: radiograph(modality="CR"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_the_validator_finds_no_error(tmp_path, name):
    (path,) = write(IMAGES[name](), tmp_path)

    done = run_tool("dciodvfy", path)

    assert "Error" not in done.stdout + done.stderr


def test_the_same_seed_gives_the_same_uids():
    assert ct_series(seed="a")[1].SOPInstanceUID == ct_series(seed="a")[1].SOPInstanceUID
    assert ct_series(seed="a")[1].SOPInstanceUID != ct_series(seed="b")[1].SOPInstanceUID
    assert len(uid("x")) <= 64


def test_none_leaves_an_attribute_out():
    assert "PatientSex" not in ct_series(PatientSex=None)[0]
