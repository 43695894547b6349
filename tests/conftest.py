"""What holds for all tests."""

from __future__ import annotations

import logging

# Peers that are down on purpose would fill every failure's report.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
