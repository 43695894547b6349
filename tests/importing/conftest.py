"""What holds for the tests of importing."""

from __future__ import annotations

from importlib.util import find_spec

# PyTorch is too large for every run of the tests; `make import-proof` installs it and runs these.
collect_ignore = [] if find_spec("torch") and find_spec("monai") else ["with_torch"]
