"""The instances of a study → its series of images, with what rules ask about them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, Final

from node.domain import Instance, Series
from node.plan.images import (
    MAX_SCOUT_IMAGES,
    is_for_processing,
    is_named_scout,
    why_derived,
    why_no_image,
)
from node.plan.values import code_of, number_of, numbers_of, series_label, values_of

SAME_POSITION_MM: Final = 1e-3
"""Slices that are nearer to each other are repetitions of one position."""

PARALLEL_TOLERANCE: Final = 1e-3
"""Largest difference of direction cosines between slices of one stack."""


def summarise(
    instances: Sequence[Instance], *, keep_derived: bool = False
) -> tuple[list[Series], list[str]]:
    """Group the instances of one study into series of images.

    Of several versions of one instance the latest counts.

    Parameters
    ----------
    keep_derived
        True keeps reformats and other derived images: for rules that themselves say
        something about ImageType.

    Returns
    -------
    series
        In the order of their numbers, the images of each in the order of arrival. Series
        without images are left out.
    left_out
        One sentence for each series and each reason, without patient data.
    """
    latest = _latest_versions(instances)
    presented = {
        code_of(one.attributes, "Modality")
        for one in latest
        if code_of(one.attributes, "PresentationIntentType") == "FOR PRESENTATION"
        and why_no_image(one) is None
    }
    groups: dict[str, list[Instance]] = {}
    for instance in latest:
        groups.setdefault(instance.series_instance_uid, []).append(instance)

    found, left_out = [], []
    for group in sorted(groups.values(), key=_series_order):
        images, reasons = _images(group, presented, keep_derived=keep_derived)
        label = series_label(group[0].series_instance_uid, group[0].attributes)
        for reason, count in reasons.items():
            left_out.append(f"{label}: {count} of {len(group)} left out: {reason}")
        if images:
            found.append(_series(images))
    return found, left_out


def _latest_versions(instances: Iterable[Instance]) -> list[Instance]:
    """Keep the latest version of each instance, in the order of arrival."""
    latest: dict[tuple[str, str], Instance] = {}
    for one in sorted(instances, key=lambda i: (i.received_at, i.sop_instance_uid, i.digest)):
        key = (one.series_instance_uid, one.sop_instance_uid)
        latest.pop(key, None)
        latest[key] = one
    return list(latest.values())


def _series_order(group: Sequence[Instance]) -> tuple[float, str]:
    first = next(iter(values_of(group[0].attributes.get("SeriesNumber"))), None)
    number = number_of(first)
    return (math.inf if number is None else number, group[0].series_instance_uid)


def _images(
    group: Sequence[Instance], presented: set[str], *, keep_derived: bool
) -> tuple[list[Instance], Counter[str]]:
    """Split the instances of a series into images and counted reasons."""
    images: list[Instance] = []
    reasons: Counter[str] = Counter()
    few = len(group) <= MAX_SCOUT_IMAGES
    for one in group:
        reason = why_no_image(one)
        if reason is None and few and is_named_scout(one):
            reason = "localizer (named so, and no more than a few images)"
        if reason is None and not keep_derived:
            reason = why_derived(one)
        modality = code_of(one.attributes, "Modality")
        if reason is None and is_for_processing(one) and modality in presented:
            reason = "for processing; the study has images for presentation"
        if reason is None:
            images.append(one)
        else:
            reasons[reason] += 1
    return images, reasons


def _series(images: Sequence[Instance]) -> Series:
    attributes: dict[str, Any] = {
        **images[0].attributes,
        "SOPClassUID": images[0].sop_class_uid,
        "slices": sum(frames_of(image) for image in images),
        "series_instances": len(images),
    }
    if (spacing := _spacing_mm(images)) is not None:
        attributes["spacing_mm"] = spacing
    return Series(images[0].series_instance_uid, attributes, tuple(images))


def frames_of(image: Instance) -> int:
    """Frames of an image, 1 where it does not say."""
    value = next(iter(values_of(image.attributes.get("NumberOfFrames"))), None)
    number = number_of(value)
    return 1 if number is None else max(1, int(number))


def _spacing_mm(images: Sequence[Instance]) -> float | None:
    """Median distance of neighbouring slices along their normal, or None if untold."""
    if any(frames_of(image) > 1 for image in images):
        written = values_of(images[0].attributes.get("SpacingBetweenSlices"))
        number = number_of(written[0]) if len(written) == 1 else None
        return abs(number) if number else None
    orientations = [numbers_of(i.attributes.get("ImageOrientationPatient"), 6) for i in images]
    positions = [numbers_of(i.attributes.get("ImagePositionPatient"), 3) for i in images]
    first = orientations[0]
    if first is None:
        return None
    distances = []
    for orientation, position in zip(orientations, positions, strict=True):
        if orientation is None or position is None or not _parallel(first, orientation):
            return None
        distances.append(_dot(_normal(first), position))
    gaps = [right - left for left, right in pairwise(sorted(distances))]
    real = [gap for gap in gaps if gap > SAME_POSITION_MM]
    return round(median(real), 4) if real else None


def _parallel(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(abs(a - b) <= PARALLEL_TOLERANCE for a, b in zip(one, other, strict=True))


def _normal(orientation: Sequence[float]) -> tuple[float, float, float]:
    """Cross product of row and column direction (PS3.3 Section C.7.6.2.1.1)."""
    a, b, c, d, e, f = orientation
    return (b * f - c * e, c * d - a * f, a * e - b * d)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
