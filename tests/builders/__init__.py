"""Synthetic DICOM images for all tests: valid objects of a chest that is not symmetric.

Each builder returns headers with pixels in memory; `write` puts them into files. Say the one
thing that matters in the call, by keyword, and None to leave an attribute out::

    paths = write(ct_series(slices=5, PatientSex=None), tmp_path)
"""

from tests.builders.ct import AXIAL, ct_series, enhanced_ct
from tests.builders.files import uid, write
from tests.builders.phantom import chest
from tests.builders.radiograph import radiograph

__all__ = ["AXIAL", "chest", "ct_series", "enhanced_ct", "radiograph", "uid", "write"]
