"""Identifiers and files of synthetic images."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

_NAMESPACE = uuid.UUID("0d8a5f0c-6c39-5d2e-9a3c-2f6a4e9b7c11")


def uid(*parts: object) -> UID:
    """Derive a UID: the same parts give the same one."""
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(map(str, parts))).int}")


def composite(sop_class_uid: str, modality: str, seed: str, number: int) -> Dataset:
    """Start an image of one patient, study and series: all that has nothing to do with pixels."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class_uid
    ds.SOPInstanceUID = uid(seed, "instance", number)
    ds.StudyInstanceUID = uid(seed, "study")
    ds.SeriesInstanceUID = uid(seed, "series", sop_class_uid)
    ds.PatientName, ds.PatientID = "Builder^Patient", "BUILDER-1"
    ds.PatientBirthDate, ds.PatientSex = "19600229", "O"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = "20260102"
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = "030405"
    ds.AccessionNumber, ds.StudyID, ds.SeriesNumber = "ACC-1", "1", "2"
    ds.StudyDescription, ds.SeriesDescription = "Thorax", "Synthetic"
    ds.ReferringPhysicianName = "Builder^Referrer"
    ds.Manufacturer, ds.ManufacturerModelName = "Builder", "Phantom"
    ds.InstitutionName, ds.DeviceSerialNumber, ds.SoftwareVersions = "Builder", "1", "1"
    ds.Modality = modality
    ds.InstanceNumber = str(number)
    return ds


def change(ds: Dataset, changes: Mapping[str, Any]) -> Dataset:
    """Set attributes by keyword; None leaves one out."""
    for keyword, value in changes.items():
        if value is not None:
            setattr(ds, keyword, value)
        elif keyword in ds:
            delattr(ds, keyword)
    return ds


def write(images: Dataset | Iterable[Dataset], folder: Path) -> list[Path]:
    """Write images as DICOM files in the folder, named by their order, valid or not."""
    images = [images] if isinstance(images, Dataset) else list(images)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:04}.dcm" for index in range(len(images))]
    with disable_value_validation():
        for ds, path in zip(images, paths, strict=True):
            ds.save_as(path, enforce_file_format=True)
    return paths
