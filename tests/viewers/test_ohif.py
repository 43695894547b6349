"""OHIF shows what the node writes: overlays, measurements and the summary picture."""

from __future__ import annotations

import re

import pytest
from pydicom.dataset import Dataset

from node.domain import ObjectForm, ResultKind
from tests.encode.conftest import LEFT, RIGHT
from tests.viewers.browser import is_the_page, near, picture_of
from tests.viewers.conftest import PICTURES, ReadingRoom
from tests.viewers.studies import FOR_OHIF, Study

pytestmark = [pytest.mark.pacs, pytest.mark.timeout(600)]

WAIT_MS = 120_000
OUTLINE = (255, 255, 0)
"""Of a measurement that was taken over."""
SEGMENTATIONS = [form for form in FOR_OHIF if form.kind is ResultKind.SEG]
SERIES = '[data-cy="series-description-label"]'
HYDRATE = '[data-cy="yes-hydrate-btn"]'
SEGMENTS = '[data-cy="panelSegmentation-btn"]'
MEASUREMENTS = '[data-cy="trackedMeasurements-btn"]'


def open_study(room: ReadingRoom, study: Study) -> None:
    """Open a study in the viewer; its first images are there afterwards."""
    page = room.page
    page.goto(f"{room.site.url}/viewer?StudyInstanceUIDs={study.study_instance_uid}")
    page.locator(SERIES).first.wait_for(timeout=WAIT_MS)
    page.locator("canvas").first.wait_for(timeout=WAIT_MS)
    page.get_by_text(re.compile(r"W:")).first.wait_for(timeout=WAIT_MS)


def open_result(room: ReadingRoom, study: Study, form: ObjectForm) -> None:
    """Open a series of results, as a double click on it does."""
    open_study(room, study)
    description = str(study.results[form].SeriesDescription)
    room.page.locator(SERIES).get_by_text(description, exact=True).first.dblclick()


def viewport(room: ReadingRoom):
    """The pane with the image."""
    return room.page.locator('[data-cy="viewport-pane"]').first


def test_a_study_opens(room):
    open_study(room, room.ct)

    picture = picture_of(viewport(room), PICTURES / "ohif-ct.png")

    assert (picture.max(axis=2) > 100).mean() > 0.05  # the body, in grey


@pytest.mark.parametrize("form", SEGMENTATIONS)
def test_a_segmentation_becomes_an_overlay_in_its_colours(room, form):
    if form not in room.ct.results:
        pytest.skip(f"the node does not write {form}")
    open_result(room, room.ct, form)
    page = room.page
    page.locator(HYDRATE).first.click(timeout=WAIT_MS)
    page.locator(SEGMENTS).first.click(timeout=WAIT_MS)
    for name in ("Left lung", "Right lung"):
        page.get_by_text(name, exact=True).first.wait_for(timeout=WAIT_MS)
    scroll_to(room, "(12/24)")

    def is_drawn(picture) -> bool:
        half = picture.shape[1] // 2
        # The patient's right is on the picture's left.
        right, left = picture[:, :half], picture[:, half:]
        return bool(
            near(right, RIGHT.color).mean() > 0.02
            and near(left, LEFT.color).mean() > 0.01
            and near(left, RIGHT.color).mean() < 0.002
        )

    wait_for_picture(room, is_drawn, f"ohif-ct-{form.lower()}")


def test_the_summary_picture_shows(room):
    open_result(room, room.ct, ObjectForm.SC)

    wait_for_picture(room, is_the_page, "ohif-ct-sc")


@pytest.mark.parametrize("name", ["radiograph", "ct"])
def test_measurements_are_drawn_and_listed(room, name):
    study = getattr(room, name)
    if not is_taken_over(study.results.get(ObjectForm.SR_2D)):
        pytest.skip("the node does not write a report that OHIF takes over")
    open_result(room, study, ObjectForm.SR_2D)
    page = room.page
    page.locator(HYDRATE).first.click(timeout=WAIT_MS)
    page.locator(MEASUREMENTS).first.click(timeout=WAIT_MS)
    rows = page.locator('[data-cy="data-row"]').filter(has_text="Lung")
    rows.nth(1).wait_for(timeout=WAIT_MS)  # one for each lung

    assert "mm²" in page.locator('[data-cy="data-row-details"]').first.inner_text()
    wait_for_picture(room, lambda picture: near(picture, OUTLINE).mean() > 0.001, f"ohif-{name}-sr")


def is_taken_over(report: Dataset | None) -> bool:
    """Whether a report's tracking identifiers are those of OHIF's own tools."""
    return report is not None and "Cornerstone3DTools" in report.to_json()


def scroll_to(room: ReadingRoom, place: str) -> None:
    """Turn the wheel over the image until its overlay says so."""
    page = room.page
    viewport(room).hover()
    corner = page.locator('[data-cy="viewport-overlay-bottom-right"]').first
    for _ in range(60):
        if place in corner.inner_text():
            return
        page.mouse.wheel(0, 100)
        page.wait_for_timeout(200)
    raise AssertionError(f"the viewer does not come to slice {place}")


def wait_for_picture(room: ReadingRoom, is_right, name: str) -> None:
    """Look at the image until it is right; the whole page is kept either way."""
    for _ in range(WAIT_MS // 1000):
        if is_right(picture_of(viewport(room), PICTURES / f"{name}-image.png")):
            break
        room.page.wait_for_timeout(1000)
    picture_of(room.page, PICTURES / f"{name}.png")
    assert is_right(picture_of(viewport(room), PICTURES / f"{name}-image.png"))
