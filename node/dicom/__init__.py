"""DICOM images to arrays with geometry."""
