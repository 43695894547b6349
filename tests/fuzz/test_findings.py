"""Inputs that once broke a rule."""

from __future__ import annotations

import pytest

from tests.fuzz import door
from tests.fuzz.targets import TARGETS


def _without_abstract_syntax() -> bytes:
    return door.requests()[0].replace(b"\x30\x00\x00\x11", b"\x10\x00\x00\x11")


FINDINGS = {
    "a presentation context without an abstract syntax": (
        "association request",
        _without_abstract_syntax,
    ),
}


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_does_not_come_back(finding):
    name, build = FINDINGS[finding]

    TARGETS[name].check(build())
