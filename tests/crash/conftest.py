"""One nursery for all tests here, and a stage for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.builders.tools import need
from tests.crash.invariants import Verdict
from tests.crash.nursery import Nursery
from tests.crash.stage import Stage, Unavailable


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Forks the roles of every test; what still runs ends with it."""
    running = Nursery()
    yield running
    running.close()


@pytest.fixture
def play(tmp_path, nursery, request) -> Callable[[Callable[[Stage], Verdict], int], Verdict]:
    """Play a scenario with so many kills; the test's name is the seed."""

    def played(scenario: Callable[[Stage], Verdict], kills: int) -> Verdict:
        try:
            return scenario(
                Stage(tmp_path / "stage", nursery, request.node.name, kills, most_open=3)
            )
        except Unavailable as error:
            need(str(error))
            raise

    return played
