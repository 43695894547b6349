"""Results → DICOM objects: Segmentation, structured report, secondary capture.

`node.encode.base.encode` is the door; see ``docs/reference/objects.md`` for what is written.
"""
