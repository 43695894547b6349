"""Storage SOP classes that archives still hold and that pynetdicom no longer lists."""

from __future__ import annotations

from pydicom.uid import UID

RETIRED_STORAGE = tuple(
    UID(f"1.2.840.10008.5.1.4.1.1.{last}")
    for last in (
        "3",  # Ultrasound Multi-frame Image Storage
        "5",  # Nuclear Medicine Image Storage
        "6",  # Ultrasound Image Storage
        "8",  # Standalone Overlay Storage
        "9",  # Standalone Curve Storage
        "9.1",  # Waveform Storage - Trial
        "10",  # Standalone Modality LUT Storage
        "11",  # Standalone VOI LUT Storage
        "12.3",  # X-Ray Angiographic Bi-Plane Image Storage
        "77.1",  # VL Image Storage - Trial
        "77.2",  # VL Multi-frame Image Storage - Trial
        "88.1",  # Text SR Storage - Trial
        "88.2",  # Audio SR Storage - Trial
        "88.3",  # Detail SR Storage - Trial
        "88.4",  # Comprehensive SR Storage - Trial
        "129",  # Standalone PET Curve Storage
    )
)
"""Retired (PS3.6 Annex A): a sender of old studies would lose them at a refusal."""
