"""Programs that others wrote and that judge our objects."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from engines.types import BoolArray, FloatArray
from tests.encode.nrrd import read_nrrd

ALLOWED = Path(__file__).parents[2] / "docs" / "reference" / "validators.md"


def need(missing: str | None) -> None:
    """Skip with the reason, except in CI, where a missing part is a failure."""
    if missing is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have it: {missing}")
    pytest.skip(missing)


JAVA_WITHOUT_XPATH_LIMITS = {
    "JAVA_TOOL_OPTIONS": "-Djdk.xml.xpathExprGrpLimit=0 -Djdk.xml.xpathExprOpLimit=0 "
    "-Djdk.xml.xpathTotalOpLimit=0"
}
"""Java 17 stops PixelMed's validator by limits on XPath that its rules exceed."""


def run_tool(
    name: str, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program and keep what it says; those from PyPI stand beside the interpreter."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    need(None if found else f"{name} is not installed (make test-deps)")
    return subprocess.run(
        [str(found), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        errors="replace",
        env={**os.environ, **(environment or {})},
    )


def allowed_messages() -> set[str]:
    """The first column, in backquotes, of the table of messages in validators.md."""
    text = ALLOWED.read_text(encoding="utf-8")
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def objections(path: Path) -> set[str]:
    """Errors that dciodvfy reports and validators.md does not explain."""
    said = run_tool("dciodvfy", "-new", path)
    lines = (said.stdout + said.stderr).splitlines()
    return {line.strip() for line in lines if line.startswith("Error")} - allowed_messages()


def assert_dcmqi_reads(
    segmentation: Path, masks: list[BoolArray], affine: FloatArray, folder: Path
) -> None:
    """Assert that dcmqi finds exactly these voxels at exactly these places.

    Parameters
    ----------
    masks
        One for each segment, axes (k, j, i).
    affine
        From (k, j, i, 1) to LPS mm.
    folder
        Empty; dcmqi writes an image for each segment.
    """
    read = run_tool(
        "segimage2itkimage", "--inputDICOM", segmentation, "--outputDirectory", folder, "-t", "nrrd"
    )
    assert read.returncode == 0, read.stderr
    for number, mask in enumerate(masks, 1):
        image = read_nrrd(folder / f"{number}.nrrd")
        index = np.argwhere(mask).T.astype(float)
        places = affine @ np.vstack([index, np.ones(index.shape[1])])
        there = np.linalg.solve(image.affine, places)[:3]
        assert np.abs(there - np.rint(there)).max() < 1e-3
        assert (image.voxels[tuple(np.rint(there).astype(int))] > 0).all()
        assert np.count_nonzero(image.voxels) == index.shape[1]
