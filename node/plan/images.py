"""Which instances are images a model could read, decided from SOP class and ImageType.

What scanners and archives write into one study beside the images: localizers, screen
saves and dose pages, reformats, structured reports, presentation states, other nodes'
results. Each is left out with a reason; nothing is left out in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from node.domain import MANUFACTURER, Instance
from node.plan.values import code_of, codes_of, number_of, values_of

_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."

NOT_IMAGES: Final[Mapping[str, str]] = {
    "9.": "waveform",
    "11.": "presentation state",
    "30": "parametric map",
    "66": "raw data",
    "66.4": "segmentation",
    "66.7": "segmentation",
    "66.": "registration, fiducials or surface",
    "67": "real world value mapping",
    "68.": "surface scan",
    "77.1.5.3": "stereometric relationship",
    "78.": "ophthalmic measurement",
    "79.1": "macular grid report",
    "80.1": "visual field report",
    "82.1": "intravascular report",
    "88.59": "key object selection",
    "88.67": "dose report",
    "88.": "structured report",
    "90.1": "content assessment",
    "104.": "encapsulated document",
    "131": "basic structured display",
    "200.": "protocol",
    "201.": "storage of an inventory",
    "481.": "radiotherapy object",
}
"""Storage SOP classes that hold no image, or one that is a result: suffix → what they are.

A suffix with a dot at its end stands for all classes that start so; the longest match wins.
"""

SECONDARY_CAPTURE: Final = _STORAGE + "7"

CROSS_SECTIONAL: Final = frozenset({"CT", "MR", "PT"})
"""Modalities whose series are volumes, and whose derived series repeat them."""

REFORMAT: Final = frozenset(
    {"MPR", "MIP", "MINIP", "MNIP", "REFORMATTED", "CPR", "VRT", "VRD", "SSD", "3D", "PROJECTION"}
)
"""Words in ImageType that say: computed from slices that are a series of their own."""

MONOCHROME: Final = frozenset({"MONOCHROME1", "MONOCHROME2"})

SCREEN: Final = frozenset({"SCREEN", "CAPTURE", "DOSE", "PROT"})
"""Words in ImageType that say: a page for people, not an image of the patient."""

SCOUT: Final = re.compile(r"\b(scout|topogram|surview|scano(gram)?|locali[sz]er)\b", re.IGNORECASE)
MAX_SCOUT_IMAGES: Final = 3


def why_no_image(instance: Instance) -> str | None:
    """Say why an instance is no image that any rule may ask for, or None if it is one."""
    attributes = instance.attributes
    if kind := _kind_of(instance.sop_class_uid):
        return f"{kind}, not an image"
    if code_of(attributes, "Manufacturer") == MANUFACTURER.upper():
        return f"a result of {MANUFACTURER} itself"
    if not all(_is_positive(attributes.get(keyword)) for keyword in ("Rows", "Columns")):
        return "not an image (Rows or Columns is absent)"
    if (shown := code_of(attributes, "PhotometricInterpretation")) and shown not in MONOCHROME:
        return f"a colour image (PhotometricInterpretation {shown})"
    words = _words(attributes)
    if "LOCALIZER" in words:
        return "localizer (ImageType)"
    if words & SCREEN:
        return "screen save or dose page (ImageType)"
    if _is_secondary_capture(instance) and code_of(attributes, "Modality") in CROSS_SECTIONAL:
        return "secondary capture"
    return None


def why_derived(instance: Instance) -> str | None:
    r"""Say why an image only repeats others of its study, or None.

    For CT, MR and PT that is a reformat (``DERIVED\SECONDARY\MPR``), by its words or,
    without such words, by DERIVED and SECONDARY on anything but axial slices. Thin
    reconstructions are ``ORIGINAL\PRIMARY`` or ``DERIVED\PRIMARY``, and so is whatever an
    archive has compressed with loss; they stay. For radiographs DERIVED is the normal state
    of the image that radiologists see.
    """
    attributes = instance.attributes
    if code_of(attributes, "Modality") not in CROSS_SECTIONAL:
        return None
    image_type = codes_of(attributes, "ImageType")
    if "DERIVED" not in image_type:
        return None
    words = _words(attributes)
    if words & REFORMAT or ("SECONDARY" in words and "AXIAL" not in words):
        return "derived image (ImageType); only rules with a condition on ImageType read it"
    return None


def is_for_processing(instance: Instance) -> bool:
    """Whether a radiograph holds the detector's raw values (PS3.3 Section C.8.11.1.1)."""
    return code_of(instance.attributes, "PresentationIntentType") == "FOR PROCESSING"


def is_named_scout(instance: Instance) -> bool:
    """Whether people named an image a scout; only few-image CT series are judged by it."""
    if code_of(instance.attributes, "Modality") != "CT":
        return False
    texts = (instance.attributes.get(name) for name in ("SeriesDescription", "ProtocolName"))
    # "_" is a word character: CHEST_SCOUT has no word boundary before SCOUT
    return any(
        SCOUT.search(str(text).replace("_", " ")) for value in texts for text in values_of(value)
    )


def _kind_of(sop_class_uid: str) -> str | None:
    if not sop_class_uid.startswith(_STORAGE):
        return None
    suffix = sop_class_uid.removeprefix(_STORAGE)
    matches = [
        key for key in NOT_IMAGES if suffix == key or (key.endswith(".") and suffix.startswith(key))
    ]
    return NOT_IMAGES[max(matches, key=len)] if matches else None


def _is_secondary_capture(instance: Instance) -> bool:
    uid = instance.sop_class_uid
    return uid == SECONDARY_CAPTURE or uid.startswith(f"{SECONDARY_CAPTURE}.")


def _words(attributes: Mapping[str, Any]) -> frozenset[str]:
    """All words of ImageType: ``CT_SOM5 MPR`` is one value and two words or more."""
    return frozenset(
        word for code in codes_of(attributes, "ImageType") for word in re.split(r"[\s_]+", code)
    )


def _is_positive(value: Any) -> bool:
    number = number_of(next(iter(values_of(value)), None))
    return number is not None and number > 0
