"""How a finding changed against the prior study."""

from __future__ import annotations

from collections.abc import Sequence

from nlp.lexicon import Cue
from nlp.match import Hit
from nlp.types import Change


def change_of(reaching: Sequence[Hit[Cue]], start: int, end: int) -> Change | None:
    """The change that the nearest of the cues reaching a mention tells; None if none does."""
    telling = [hit for hit in reaching if hit.value.change is not None]
    if not telling:
        return None
    nearest = min(telling, key=lambda hit: max(start - hit.end, hit.start - end))
    return nearest.value.change


def change_between(
    now: Sequence[tuple[float, ...]], before: Sequence[tuple[float, ...]]
) -> Change | None:
    """What the sizes say where no word does: a tenth or 1 mm more or less is a change."""
    if len(now) != 1 or len(before) != 1:
        return None
    largest, was = max(now[0]), max(before[0])
    if abs(largest - was) <= max(1.0, 0.1 * was):
        return Change.STABLE
    return Change.LARGER if largest > was else Change.SMALLER
