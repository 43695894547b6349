"""Which segment of which Segmentation holds which label: known before any of them is written.

So a report can refer to the segments of the form that its destination gets, whether that form
is written together with it or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from engines.types import Label, SegmentationResult
from node.domain import ObjectForm, ResultKind
from node.encode.case import Case, found_labels
from node.errors import PermanentError


@dataclass(frozen=True)
class Instance:
    """One Segmentation of a result.

    Parameters
    ----------
    number
        InstanceNumber (0020,0013).
    labels
        Segment n, counted from 1, is label n - 1.
    """

    form: ObjectForm
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    number: int
    labels: tuple[Label, ...]

    @property
    def sop_class_uid(self) -> str:
        """Segmentation Storage, or Label Map Segmentation Storage."""
        return str(self.form.sop_class_uid)

    def reference(self) -> Dataset:
        """What names it as evidence of a report (PS3.3 Section C.17.2)."""
        reference = Dataset()
        reference.SOPClassUID = self.sop_class_uid
        reference.SOPInstanceUID = self.sop_instance_uid
        reference.SeriesInstanceUID = self.series_instance_uid
        reference.StudyInstanceUID = self.study_instance_uid
        return reference


def companion_instances(case: Case, result: SegmentationResult) -> tuple[Instance, ...]:
    """List the Segmentations that the same destination gets of this result; may be none."""
    form = case.companion(ResultKind.SEG)
    return () if form is None else instances(case, form, result)


def instances(case: Case, form: ObjectForm, result: SegmentationResult) -> tuple[Instance, ...]:
    """Spread the labels that were found over as few Segmentations as `Packing` allows.

    Labels stay in order; each instance has its own frames, so one label is never split.
    """
    labels = found_labels(result)
    if not labels:
        return ()
    groups = [labels]
    if form is not ObjectForm.SEG_LABELMAP:  # there a frame holds all segments
        groups = _groups(case, result, labels)
    return tuple(
        Instance(
            form=form,
            sop_instance_uid=case.uid(form, "instance", *_part(group, len(groups))),
            series_instance_uid=case.uid(form, "series"),
            study_instance_uid=case.context.study_instance_uid,
            number=number,
            labels=tuple(group),
        )
        for number, group in enumerate(groups, 1)
    )


def _groups(case: Case, result: SegmentationResult, labels: Sequence[Label]) -> list[list[Label]]:
    most_frames, most_segments = case.packing.max_frames, case.packing.max_segments
    for limit in (most_frames, most_segments):
        if limit is not None and limit < 1:
            raise PermanentError(f"at most {limit} frames or segments: expected 1 or more")
    frames = np.count_nonzero(result.slice_counts, axis=0)
    groups: list[list[Label]] = [[]]
    inside = 0
    for label in labels:
        wanted = int(frames[label.value])
        full = len(groups[-1]) == most_segments
        if groups[-1] and (full or (most_frames is not None and inside + wanted > most_frames)):
            groups.append([])
            inside = 0
        groups[-1].append(label)
        inside += wanted
    return groups


def _part(group: Sequence[Label], count: int) -> tuple[str, ...]:
    """Words that tell one of several instances from the others."""
    return () if count == 1 else (f"labels {group[0].value} to {group[-1].value}",)
