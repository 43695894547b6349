"""Series that are hard to read: stacks that lean or vary, and several volumes in one."""

from __future__ import annotations

import numpy as np

from tests.builders.ct import ct_series


def leaning(images, degrees, *, along=4):
    """Shear a stack, as a tilted gantry does; `along` is 4 for columns, 1 for rows."""
    axis = {4: slice(3, 6), 1: slice(0, 3)}[along]
    positions = np.array([image.ImagePositionPatient for image in images], float)
    distances = np.linalg.norm(positions - positions[0], axis=1)
    for k, image in enumerate(images):
        direction = np.array(image.ImageOrientationPatient, float)[axis]
        way = distances[k] * np.tan(np.radians(degrees)) * direction
        position = np.array(image.ImagePositionPatient, float) + way
        image.ImagePositionPatient = [f"{value:.6f}"[:16] for value in position]
    return images


def uneven(images, distances_mm):
    """Move the slices of a stack along z."""
    for image, z in zip(images, distances_mm, strict=True):
        image.ImagePositionPatient = [*image.ImagePositionPatient[:2], f"{30 + z:.4f}"]
    return images


def several(*changes, seed="several", **common):
    """Build one series of several volumes, each with its own changes; in one list."""
    images = []
    for number, change in enumerate(changes):
        images += ct_series(seed=f"{seed} {number}", **{**common, **change})
    for image in images:
        image.StudyInstanceUID = images[0].StudyInstanceUID
        image.SeriesInstanceUID = images[0].SeriesInstanceUID
        image.FrameOfReferenceUID = images[0].FrameOfReferenceUID
    return images


def with_phases(image, phases, keyword="TemporalPositionIndex"):
    """Make frames of one multi-frame image that many volumes, interleaved."""
    groups = image.PerFrameFunctionalGroupsSequence
    slices = len(groups) // phases
    positions = [group.PlanePositionSequence for group in groups][:slices]
    for frame, group in enumerate(groups):
        setattr(group.FrameContentSequence[0], keyword, 1 + frame % phases)
        group.PlanePositionSequence = positions[frame // phases]
    return image
