"""Findings from report text.

The package holds its place in the layering (it knows neither DICOM, network nor
arrays); the extractor itself is not part of this version.
"""
