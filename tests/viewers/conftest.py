"""One PACS with DICOMweb and a web viewer, OHIF before it, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.builders.tools import need
from tests.pacs.orthanc import DICOMWEB, Orthanc
from tests.viewers import browser, studies
from tests.viewers.site import Site

WEB_VIEWER = DICOMWEB.with_name("libOrthancWebViewer.so")
PICTURES = Path(__file__).parents[2] / "build" / "viewers"
"""Screenshots are kept here, whatever a test says of them."""


@dataclass(frozen=True)
class ReadingRoom:
    """What the tests look at."""

    orthanc: Orthanc
    site: Site
    page: Any
    ct: studies.Study
    radiograph: studies.Study


@pytest.fixture(scope="package")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReadingRoom]:
    """Open a reading room with two studies."""
    for reason in (Orthanc.missing(dicomweb=True), Site.missing(), browser.missing()):
        need(reason)
    need(None if WEB_VIEWER.exists() else "Orthanc's web viewer is not installed (make viewers)")
    folder = tmp_path_factory.mktemp("viewers")
    orthanc = Orthanc(
        folder / "orthanc",
        node_port=1,
        dicomweb=True,
        LuaScripts=[],
        Plugins=[str(DICOMWEB), str(WEB_VIEWER)],
        WebViewer={"CachePath": str(folder / "cache")},
    )
    site = Site(orthanc.http_port)
    try:
        orthanc.start()
        site.start()
        ct, radiograph = studies.chest_ct(folder / "ct"), studies.chest_radiograph(folder / "dx")
        for study in (ct, radiograph):
            studies.upload(study, orthanc.http_port)
        with browser.open_browser(folder / "profile") as page:
            yield ReadingRoom(orthanc, site, page, ct, radiograph)
    finally:
        site.stop()
        orthanc.stop()
