"""Studies of a generated phantom with results of the node's own encoders, in a PACS."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset

from engines.types import BoolArray, LabelArray, Measurement, SegmentationResult
from node.config.profile import BUILT_IN
from node.dicom.image import read_image
from node.dicom.volume import read_series
from node.domain import ObjectForm, ResultKind, Source
from node.encode.base import encode, possible_forms
from tests.builders import ct_series, radiograph
from tests.builders.files import write
from tests.encode.conftest import LEFT, RIGHT, make_context

_KINDS = (ResultKind.SEG, ResultKind.SR, ResultKind.SC)
FOR_OHIF = tuple(dict.fromkeys(form for kind in _KINDS for form in BUILT_IN["ohif"].chain(kind)))
"""Every form of these kinds that the built-in profile may send."""


@dataclass(frozen=True)
class Study:
    """A study and the descriptions of its result series, by form."""

    study_instance_uid: str
    images: list[Dataset]
    results: dict[ObjectForm, Dataset]

    def files(self) -> list[bytes]:
        """Every instance as a file."""
        return [_file(ds) for ds in (*self.images, *self.results.values())]


def chest_ct(folder: Path) -> Study:
    """A CT of the phantom's chest with both lungs segmented."""
    images = ct_series(
        slices=24, rows=128, columns=128, spacing_mm=(10.0, 2.5, 2.5), seed="viewer ct"
    )
    source = read_series(write(images, folder))
    air = (source.volume.voxels > -950) & (source.volume.voxels < -700)
    return _study(images, source, air)


def chest_radiograph(folder: Path) -> Study:
    """A radiograph of the phantom's chest with both lung fields segmented."""
    image = radiograph(rows=640, columns=560, seed="viewer dx", ImagerPixelSpacing=["0.4", "0.4"])
    source = read_image(write(image, folder)[0])
    rows, columns = image.Rows, image.Columns
    y, x = np.mgrid[:rows, :columns]
    fields = np.zeros((1, rows, columns), np.bool_)
    for centre in (0.28, 0.72):
        fields[0] |= ((x / columns - centre) / 0.15) ** 2 + ((y / rows - 0.45) / 0.3) ** 2 < 1
    return _study([image], source, fields)


def _study(images: list[Dataset], source: Source, lungs: BoolArray) -> Study:
    columns = source.volume.grid.shape[2]
    labelmap = np.zeros(source.volume.grid.shape, np.uint8)
    # The patient's left is on the picture's right.
    on_the_right = np.arange(columns) >= columns // 2
    labelmap[lungs & ~on_the_right] = RIGHT.value
    labelmap[lungs & on_the_right] = LEFT.value
    result = SegmentationResult(labelmap, (RIGHT, LEFT), tuple(_measured(labelmap, source)))
    possible = possible_forms(result, source)
    forms = [form for form in FOR_OHIF if form in possible]
    packing = BUILT_IN["ohif"].packing
    encoded = encode(result, source, make_context(source), forms, packing=packing)
    results = {one.form: _read(b"".join(one.chunks())) for one in encoded}
    return Study(str(images[0].StudyInstanceUID), images, results)


def _measured(labelmap: LabelArray, source: Source) -> list[Measurement]:
    grid = source.volume.grid
    found = []
    for label in (RIGHT, LEFT):
        voxels = int(np.count_nonzero(labelmap == label.value))
        if grid.patient_frame:
            millilitres = voxels * float(np.prod(grid.spacing_mm)) / 1000
            found.append(Measurement(label.value, "volume", millilitres, "ml"))
        else:
            area = voxels * float(np.prod(grid.spacing_mm[1:]))
            found.append(Measurement(label.value, "area", area, "mm2"))
    return found


def _file(ds: Dataset) -> bytes:
    stream = BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _read(content: bytes) -> Dataset:
    return dcmread(BytesIO(content))


def upload(study: Study, http_port: int) -> None:
    """Give a study to Orthanc by its REST interface, which takes every SOP class."""
    for content in study.files():
        request = urllib.request.Request(
            f"http://127.0.0.1:{http_port}/instances", data=content, method="POST"
        )
        urllib.request.urlopen(request).close()  # noqa: S310
