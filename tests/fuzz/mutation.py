"""Broken copies of well-formed bytes, the same each time."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Sequence

_LENGTHS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
_FORMATS = ("<H", "<I", ">H", ">I", "B")


def mutants(seeds: Sequence[bytes], count: int) -> Iterator[bytes]:
    """Yield the seeds, then copies of them with one to four mutations."""
    yield from seeds
    chance = random.Random("wetread")  # noqa: S311 - repeatable, not secret
    for _ in range(count):
        mutant = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            chance.choice(_MUTATIONS)(mutant, chance)
        yield bytes(mutant)


def _flip(mutant: bytearray, chance: random.Random) -> None:
    if mutant:
        mutant[chance.randrange(len(mutant))] ^= 1 << chance.randrange(8)


def _set_length(mutant: bytearray, chance: random.Random) -> None:
    form = chance.choice(_FORMATS)
    size = struct.calcsize(form)
    number = chance.choice(_LENGTHS) & (256**size - 1)
    at = chance.randrange(len(mutant) + 1)
    mutant[at : at + size] = struct.pack(form, number)


def _cut(mutant: bytearray, chance: random.Random) -> None:
    del mutant[chance.randrange(len(mutant) + 1) :]


def _remove(mutant: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(mutant) + 1)
    del mutant[at : at + chance.randint(1, 64)]


def _repeat(mutant: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(mutant) + 1)
    piece = mutant[start : start + chance.randint(1, 64)]
    at = chance.randrange(len(mutant) + 1)
    mutant[at:at] = piece * chance.randint(1, 4)


def _insert(mutant: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(mutant) + 1)
    mutant[at:at] = chance.randbytes(chance.randint(1, 16))


_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_flip, _flip, _set_length, _set_length),
    *(_cut, _remove, _repeat, _insert),
)
