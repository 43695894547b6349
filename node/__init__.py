"""The Wetread node: DICOM in, durable work, DICOM out."""

__version__ = "0.4.0"
