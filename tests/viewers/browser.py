"""A real browser without a screen, and what is on a picture of its page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from node.encode.pen import AMBER
from tests.encode.conftest import LEFT, RIGHT

SIZE = (1400, 900)
FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
"""WebGL in software, and no address but this machine's."""

_TOUR_IS_OVER = "localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))"

Picture = npt.NDArray[np.uint8]


def missing() -> str | None:
    """Why no browser can run here, or None."""
    if not find_spec("playwright"):
        return "the package playwright is not installed"
    return None if shutil.which("chromium") else "Chromium is not installed (make viewers)"


@contextmanager
def open_browser(folder: Path) -> Iterator[Any]:
    """Start Chromium with a profile in `folder`, and yield a page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(folder),
            executable_path=shutil.which("chromium"),
            headless=True,
            args=FLAGS,
            chromium_sandbox=False,
            viewport={"width": SIZE[0], "height": SIZE[1]},
        )
        context.add_init_script(_TOUR_IS_OVER)
        try:
            yield context.pages[0]
        finally:
            context.close()


def picture_of(target: Any, kept: Path) -> Picture:
    """Take a picture of a page or an element, keep it, and give it as uint8 (row, column, RGB)."""
    content = target.screenshot()
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(content)
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"))


def near(picture: Picture, color: tuple[int, int, int], angle: float = 0.12) -> npt.NDArray[Any]:
    """Find the pixels of a colour, blended with any grey: bool (row, column).

    Parameters
    ----------
    color
        sRGB, 0 … 255.
    angle
        Radians between the colours with their grey taken out.
    """
    pixels = picture.astype(np.float64)
    hue = pixels - pixels.mean(axis=2, keepdims=True)
    wanted = np.array(color, np.float64) - np.mean(color)
    strength = np.linalg.norm(hue, axis=2)
    cosine = hue @ wanted / np.maximum(strength * np.linalg.norm(wanted), 1e-9)
    found: npt.NDArray[Any] = (strength > 12) & (cosine > np.cos(angle))
    return found


def is_the_page(picture: Picture) -> bool:
    """Whether a picture has the node's page: dark, with its amber badge and the label colours."""
    return bool(
        near(picture, AMBER).mean() > 0.002
        and near(picture, LEFT.color).mean() > 0.002
        and near(picture, RIGHT.color).mean() > 0.002
    )
