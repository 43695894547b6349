"""Orthanc's web viewer shows no overlays and no reports: its profile sends the picture."""

from __future__ import annotations

import pytest

from node.domain import ObjectForm
from tests.viewers.browser import is_the_page, picture_of
from tests.viewers.conftest import PICTURES

pytestmark = [pytest.mark.pacs, pytest.mark.timeout(300)]


@pytest.mark.parametrize("name", ["ct", "radiograph"])
def test_the_summary_picture_shows(room, name):
    picture = getattr(room, name).results[ObjectForm.SC]
    (series,) = (
        one["ID"]
        for one in room.orthanc.get("/series?expand")
        if one["MainDicomTags"]["SeriesInstanceUID"] == picture.SeriesInstanceUID
    )
    page = room.page
    port = room.orthanc.http_port
    page.goto(f"http://127.0.0.1:{port}/web-viewer/app/viewer.html?series={series}")
    page.locator("canvas").first.wait_for(timeout=60_000)
    for _ in range(60):
        if is_the_page(picture_of(page, PICTURES / f"orthanc-web-viewer-{name}-sc.png")):
            return
        page.wait_for_timeout(1000)
    raise AssertionError("the picture does not show")
