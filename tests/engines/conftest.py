"""Settings of the engines' property tests."""

from __future__ import annotations

from hypothesis import settings

# A shared CI machine stalls now and then; how long an example takes proves nothing.
settings.register_profile("engines", deadline=None)
settings.load_profile("engines")
