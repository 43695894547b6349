"""Labels of an imported model: names from the source, codes where the name is unambiguous."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engines.errors import PackageError

ANATOMY = ("SCT", "123037004", "Anatomical Structure")

OWN_SCHEME = "99IMPORT"
"""Private coding scheme (PS3.16 Section 8: private designators begin with 99)."""

# Name in lower case → SNOMED CT code and meaning, as in PS3.16.
CODES = {
    "aorta": ("15825003", "Aorta"),
    "bladder": ("89837001", "Bladder"),
    "brain": ("12738006", "Brain"),
    "esophagus": ("32849002", "Esophagus"),
    "gallbladder": ("28231008", "Gallbladder"),
    "heart": ("80891009", "Heart"),
    "kidney": ("64033007", "Kidney"),
    "liver": ("10200004", "Liver"),
    "lung": ("39607008", "Lung"),
    "pancreas": ("15776009", "Pancreas"),
    "prostate": ("41216001", "Prostate"),
    "spleen": ("78961009", "Spleen"),
    "stomach": ("69695003", "Stomach"),
}

# Told apart beside each other and for readers who do not see red and green alike (Okabe and Ito).
_COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
    (204, 121, 167),
)  # fmt: skip


def labels(names: Mapping[int, str]) -> dict[int, dict[str, Any]]:
    """Make the manifest's labels.

    Parameters
    ----------
    names
        Value of the label map, 1 … 255 → name in the source.

    Returns
    -------
    dict
        Value → entry of ``postprocess.labels``. A name that is not in `CODES` gets a code of
        the private scheme `OWN_SCHEME`, which somebody has to replace.

    Raises
    ------
    PackageError
        If there is none, or a value is out of range.
    """
    if not names or not all(1 <= value <= 255 for value in names):
        raise PackageError(f"labels: expected values 1 … 255, found {sorted(names)}")
    return {value: _entry(value, str(name)[:64]) for value, name in sorted(names.items())}


def without_code(entries: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """Name the labels whose codes are private."""
    return [entry["name"] for entry in entries.values() if entry["type"][0] == OWN_SCHEME]


def _entry(value: int, name: str) -> dict[str, Any]:
    known = CODES.get(name.strip().lower())
    return {
        "name": name,
        "category": list(ANATOMY),
        "type": ["SCT", *known] if known else [OWN_SCHEME, str(value), name],
        "color": list(_COLOURS[(value - 1) % len(_COLOURS)]),
    }


__all__ = ["ANATOMY", "CODES", "OWN_SCHEME", "labels", "without_code"]
