"""Nodes by hand, closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.work.by_hand import ByHand


@pytest.fixture
def open_node(tmp_path: Path) -> Iterator[Callable[..., ByHand]]:
    """Open a node by hand; one opened later works on the same data."""
    opened = []

    def start(**options: object) -> ByHand:
        opened.append(ByHand(tmp_path, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def node(open_node: Callable[..., ByHand]) -> ByHand:
    return open_node()
