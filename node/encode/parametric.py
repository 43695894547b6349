"""Probabilities → Parametric Map, one per label, float (PS3.3 A.75).

Never 8 bits: the IOD has 16-bit integers and floats only (PS3.3 Section C.8.32.2).
"""

from __future__ import annotations

from collections.abc import Iterable

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset

from engines.types import Label, LabelArray, SegmentationResult
from node.domain import MANUFACTURER, ObjectForm
from node.encode.case import Case, found_labels
from node.encode.encoded import Encoded
from node.encode.frames import Frame, functional_groups
from node.encode.marking import CHARACTER_SET
from node.encode.seg_header import complete_header, concept, one_pixel
from node.encode.stream import float_pixels
from node.errors import PermanentError
from node.terminology import PROBABILITY, UNITS, UNSPECIFIED_METHOD


def write_parametric_map(case: Case, result: SegmentationResult) -> list[Encoded]:
    """Encode the probability of each label that was found, 0 … 1, as one instance per label.

    Frames are written only where the probability is not 0.
    """
    if result.probabilities is None:
        raise PermanentError(
            "the result has no probabilities: the package must ask for them (output.probabilities)"
        )
    place = {label.value: n for n, label in enumerate(result.labels)}
    return [
        _write(case, label, number, result.probabilities[place[label.value]])
        for number, label in enumerate(found_labels(result), 1)
    ]


def _write(case: Case, label: Label, number: int, values: LabelArray) -> Encoded:
    frames = [Frame(int(k), 0) for k in np.flatnonzero(values.any(axis=(1, 2)))]
    dataset = _header(case, label, number)
    del dataset.PerFrameFunctionalGroupsSequence
    del dataset.FloatPixelData
    dataset.NumberOfFrames = len(frames)
    complete_header(dataset, case, frames, case.uid(ObjectForm.PM, "dimensions", label.name))

    def tail() -> Iterable[bytes]:
        yield from functional_groups(case, frames, UNSPECIFIED_METHOD)
        planes = (values[frame.k].astype("<f4") / np.float32(255) for frame in frames)
        yield from float_pixels(planes, len(frames) * values[0].size)

    return Encoded(ObjectForm.PM, dataset, tail)


def _header(case: Case, label: Label, number: int) -> Dataset:
    context = case.context
    unit = concept(UNITS["1"])
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="PROBABILITY",
        lut_explanation=f"Probability of {label.name}"[:64],
        unit=unit,
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=concept(PROBABILITY),
    )
    window = hd.VOILUTTransformation(window_center=0.5, window_width=1.0)
    dataset: Dataset = hd.pm.ParametricMap(
        source_images=[one_pixel(case)],
        pixel_array=np.zeros((1, 1, 1), dtype=np.float32),
        series_instance_uid=case.uid(ObjectForm.PM, "series"),
        series_number=case.series_number(ObjectForm.PM.kind),
        sop_instance_uid=case.uid(ObjectForm.PM, "instance", str(label.value), label.name),
        instance_number=number,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=context.node_version,
        device_serial_number=context.device_serial_number,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[window],
        content_label="AI_PROBABILITY",
        content_description=f"{label.name}, UNVERIFIED"[:64],
        content_qualification=context.content_qualification,
        specific_character_set=CHARACTER_SET,
    )
    return dataset
