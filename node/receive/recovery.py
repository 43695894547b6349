"""Before listening: what earlier receiver processes have left is swept away or taken over."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from node.receive.outcome import settle, shelve
from node.store.commit import Committer, Shelved
from node.store.elements import Header
from node.store.files import Files
from node.store.header import header_of_file
from node.store.leftover import (
    Content,
    content_of,
    left_over,
    remove_all_names,
)
from node.store.part import Part

log = structlog.get_logger(__name__)

AT_ONCE = 64
"""Instances handed over before the first is waited for; what bounds memory here."""


@dataclass(frozen=True)
class Recovered:
    """What became of the parts of earlier processes, in numbers.

    Parameters
    ----------
    swept
        Half written; removed.
    adopted
        Whole; in the index now, or there already.
    damaged
        Whole once, but no longer; removed. Nobody was told that they are stored, unless
        ``durability: relaxed`` has met a power cut.
    failed
        Whole, but the index does not take them; left to the next start.
    """

    swept: int = 0
    adopted: int = 0
    damaged: int = 0
    failed: int = 0


def recover(files: Files, committer: Committer, slot: int, processes: int) -> Recovered:
    """Sweep half-written files away and record the whole ones; see `Keeper.recover`."""
    found = left_over(files, slot, processes)
    for path in found.half:
        path.unlink(missing_ok=True)
    damaged = list(found.damaged)
    adopted = failed = 0
    for start in range(0, len(found.whole), AT_ONCE):
        intact = []
        for path in found.whole[start : start + AT_ONCE]:
            read = _read(path)
            if read is None:
                damaged.append(path)
            else:
                intact.append((path, *read))
        done = _adopt(files, committer, intact)
        adopted += done
        failed += len(intact) - done
    remove_all_names(files, damaged)
    recovered = Recovered(len(found.half), adopted, len(damaged), failed)
    if recovered != Recovered():
        log.info("parts.recovered", **vars(recovered))
    return recovered


def _read(path: Path) -> tuple[Content, Header] | None:
    """Read what a part says of itself; None if it is no DICOM file any more."""
    try:
        return content_of(path), header_of_file(path)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - pydicom raises whatever its parser meets
        log.warning("part.unreadable", part=path.name, error=type(error).__name__)
    return None


def _adopt(
    files: Files, committer: Committer, intact: Sequence[tuple[Path, Content, Header]]
) -> int:
    """Record whole parts together; return how many the index has taken."""
    waiting: list[tuple[Part, Future[Shelved]]] = []
    for path, content, header in intact:
        part = Part(files, path)
        # Also where nothing is synced otherwise: there is time now.
        part.sync()
        waiting.append((part, committer.submit(partial(shelve, part, header, content))))
    adopted = 0
    for part, verdict in waiting:
        try:
            settle(part, verdict.result())
            adopted += 1
        except Exception:  # whatever the driver raises: the others, and the role, must go on
            log.exception("part.not_adopted", part=part.path.name)
    return adopted
