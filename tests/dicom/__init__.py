"""Reading DICOM images."""
