"""Where the public data of the recipes come from and how they are found in a folder.

The folder holds two git clones and a few archives fetched with ``pip download``, and one Debian
package already taken apart; README.md lists the commands.
"""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

RADIOGRAPHS = "covid-chestxray-dataset"
LUNGS_3D = "lung-segmentation-3d"


def unpack(data: Path, stem: str) -> Path:
    """Unpack the archive whose name starts with ``stem``, once.

    Parameters
    ----------
    data
        Folder of downloads.
    stem
        Start of the archive's file name, such as ``pyradiomics-3.0.1``.

    Returns
    -------
    pathlib.Path
        Folder with the contents.

    Raises
    ------
    FileNotFoundError
        If no archive starts with ``stem``.
    """
    target = data / "unpacked" / stem
    if target.is_dir():
        return target
    archive = next((path for path in sorted(data.glob(f"{stem}*")) if path.is_file()), None)
    if archive is None:
        message = f"{data} has no archive {stem}*: see models/recipes/README.md"
        raise FileNotFoundError(message)
    logger.info("unpacking %s", archive.name)
    target.mkdir(parents=True)
    if archive.suffix == ".whl":
        shutil.unpack_archive(archive, target, "zip")
    else:
        shutil.unpack_archive(archive, target, filter="data")
    return target


def lung_masks(data: Path) -> Path:
    """Folder of the v7labs lung masks inside the torchxrayvision wheel."""
    wheel = unpack(data, "torchxrayvision-1.5.7")
    target = wheel / "v7labs"
    if not target.is_dir():
        archive = wheel / "torchxrayvision" / "data" / "semantic_masks_v7labs_lungs.zip"
        shutil.unpack_archive(archive, target)
    return target / "semantic_masks_v7labs_lungs"
