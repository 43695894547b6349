"""Results to DICOM objects: segmentations, structured reports and summary pictures."""
