"""Some thousands of broken inputs for everything that reads bytes from strangers."""

from __future__ import annotations

import pytest

from tests.fuzz.mutation import mutants
from tests.fuzz.targets import TARGETS

INPUTS = 1000


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_break_the_rules(name):
    target = TARGETS[name]
    understood = 0
    for mutant in mutants(target.seeds(), INPUTS):
        try:
            understood += target.check(mutant)
        except BaseException as error:
            error.add_note(f"input: {mutant!r}")
            raise
    # A check that understands nothing would hold nothing.
    assert len(target.seeds()) / 2 < understood < INPUTS
