"""What a scenario gets, and the one shape all of them have."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.crash.invariants import Verdict
from tests.crash.nursery import Nursery
from tests.crash.world import MOST_OPEN_STUDIES, World


class Unavailable(Exception):  # noqa: N818 - not an error: a part is not on this machine
    """The scenario cannot be played here; the message says what is missing."""


@dataclass(frozen=True)
class Stage:
    """Where one scenario is played.

    Parameters
    ----------
    folder
        Empty.
    kills
        How many kills, or breaks, are asked for; a sweep may need fewer.
    tick
        Called after each of them.
    most_open
        As of `World`.
    """

    folder: Path
    nursery: Nursery
    seed: str
    kills: int
    tick: Callable[[], None] = lambda: None
    most_open: int = MOST_OPEN_STUDIES

    @property
    def rng(self) -> random.Random:
        """A generator of this scenario alone, from the beginning."""
        return random.Random(self.seed)  # noqa: S311 - chance that can be repeated

    def world(self, **options: Any) -> World:
        """Make a node for this scenario."""
        return World(self.folder, self.nursery, self.seed, most_open=self.most_open, **options)


@dataclass(frozen=True)
class Scenario:
    """One way to break a node.

    Parameters
    ----------
    share
        Of all kills that are asked for, in per cent; 0: always the same few breaks.
    breaks
        How many, where `share` is 0.
    """

    name: str
    play: Callable[[Stage], Verdict]
    share: int = 0
    breaks: int = 0
