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
    radiograph = _folder("data_store", "pydicom-data") / "data" / "RG1_UNCR.dcm"
    ct = _folder("cerr", "pycerr") / "datasets" / "radiomics_phantom_dicom" / "pat_1"
    slices = tuple(sorted(ct.glob("DCM_IMG_*.dcm")))
    for path in (radiograph, *slices[:1]):
        if not path.is_file():
            raise click.ClickException(f"{path} is absent; reinstall its package")
    return [
        DemoStudy(
            "chest radiograph",
            (radiograph,),
            "pydicom-data, compressed samples by David Clunie (MIT)",
        ),
        DemoStudy(
            "chest CT",
            slices,
            "pycerr, radiomics phantom data set (data CC BY-NC 3.0)",
        ),
    ]


def _folder(module: str, package: str) -> Path:
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise click.ClickException(
            f"the demo reads real images from the package {package}: "
            f"pip install --no-deps {package}"
        )
    return Path(next(iter(spec.submodule_search_locations)))
