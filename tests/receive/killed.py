"""A process that keeps images and is killed, by itself, at one call of the operating system.

    python -m tests.receive.killed FOLDER DURABILITY JOURNAL_BYTES FUNCTION before|after NUMBER

It says the number of each image on standard output once that is acknowledged.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from node.config.model import Receive, Storage
from node.receive.keep import Keeper
from node.store.database import database_url, open_database
from node.store.files import Files
from node.store.index import Index
from tests.builders import ct_series
from tests.builders.network import wait_until
from tests.builders.wire import give

IMAGES = 4


def deadly(call: Callable[..., Any], when: str, number: int) -> Callable[..., Any]:
    """The same function, but its call of that number is this process's last."""
    calls = 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        mine = calls  # another thread may call meanwhile
        if mine == number and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = call(*arguments, **named)
        if mine == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return counted


def main(
    folder: str, durability: str, journal_bytes: str, function: str, when: str, number: str
) -> None:
    """Keep all images, if nothing comes between."""
    engine = open_database(database_url("sqlite", Path(folder)))
    keeper = Keeper(
        Files(Path(folder)),
        Index(engine),
        clock=lambda: datetime.now(UTC),
        receive=Receive.model_validate(
            {"durability": durability, "journal_bytes": int(journal_bytes)}
        ),
        storage=Storage(min_free_percent=0),
    )
    wait_until(lambda: keeper.is_ready, within_s=60, what="the journal")
    setattr(os, function, deadly(getattr(os, function), when, int(number)))
    for image, ds in enumerate(ct_series(slices=IMAGES)):
        give(keeper, ds)
        sys.stdout.write(f"{image}\n")
        sys.stdout.flush()
    keeper.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
