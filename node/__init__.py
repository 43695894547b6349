"""The Wetread node: DICOM in, durable work, DICOM out."""

__version__ = "0.3.0"
