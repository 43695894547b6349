"""The volumes of a series, from the headers of its files, for planning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from node.dicom.split import split_series
from node.domain import Series
from node.errors import PermanentError
from node.plan.volumes import VolumeCase, as_one


def divide_series(
    series: Series, path_of: Callable[[str], Path]
) -> tuple[Sequence[VolumeCase], Sequence[str]]:
    """Find the volumes of a series; see `node.plan.volumes.Divide`.

    A series with a file that cannot be read, or without any volume, stays one case: its run
    then fails, says why, and so does the study, because a rule had asked for it.

    Parameters
    ----------
    path_of
        Gives the file of an instance by its digest.
    """
    # In an order of their own: the same instances are divided alike, whenever they came.
    images = sorted(series.instances, key=lambda image: (image.sop_instance_uid, image.digest))
    try:
        parts, refused = split_series([path_of(image.digest) for image in images])
    except PermanentError:
        return as_one(series)
    if not parts:
        return as_one(series)
    volumes = [
        VolumeCase(
            instances=tuple(images[n] for n in part.files),
            frames=part.frames,
            label=part.label,
            slices=part.slices,
            spacing_mm=part.spacing_mm,
        )
        for part in parts
    ]
    return volumes, refused
