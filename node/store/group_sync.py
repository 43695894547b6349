"""One sync of a folder for all threads that wait for one."""

from __future__ import annotations

from pathlib import Path
from threading import Condition

from node.store.files import sync_folder


class GroupSync:
    """Makes the names in a folder durable; safe to use from many threads.

    A thread that comes while a sync is under way waits for the next one, which then serves
    all that came in the meantime.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changed = Condition()
        self._asked = 0
        self._served = 0
        self._failed: dict[int, OSError] = {}
        self._under_way = False

    def sync(self) -> None:
        """Return when every name that was in the folder at the call survives a power cut.

        Raises
        ------
        OSError
            If the disk fails.
        """
        with self._changed:
            self._asked += 1
            mine = self._asked
            while self._under_way and self._served < mine:
                self._changed.wait()
            if self._served >= mine:
                self._raise_if_failed(mine)
                return
            self._under_way = True
            serves = self._asked
        # Whatever goes wrong: who waits must not wait for ever.
        failure: OSError | None = OSError("the sync of a folder was broken off")
        try:
            sync_folder(self._folder)
            failure = None
        except OSError as error:
            failure = error
        finally:
            self._end(serves, failure)
        with self._changed:
            self._raise_if_failed(mine)

    def _end(self, serves: int, failure: OSError | None) -> None:
        with self._changed:
            if failure is not None:
                self._failed.update(dict.fromkeys(range(self._served + 1, serves + 1), failure))
            self._served = serves
            self._under_way = False
            self._changed.notify_all()

    def _raise_if_failed(self, number: int) -> None:
        failure = self._failed.pop(number, None)
        if failure is not None:
            raise OSError(failure.errno, failure.strerror) from failure
