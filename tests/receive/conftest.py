"""A data directory with a keeper, and an image for it."""

from __future__ import annotations

import pytest

from tests.builders import ct_series
from tests.receive.place import Place


@pytest.fixture
def open_place(tmp_path):
    """Opens keepers; all of them are ended after the test."""
    places = []

    def open_one(folder=tmp_path, **difference):
        places.append(Place(folder, **difference))
        return places[-1]

    yield open_one
    for place in places:
        place.close()


@pytest.fixture
def place(open_place):
    """A keeper with its defaults."""
    return open_place()


@pytest.fixture
def ds():
    """One small CT image."""
    return ct_series(slices=1)[0]
