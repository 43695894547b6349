"""Reads one header in a process whose memory may not grow.

``python limited.py FILE MIB [pydicom]``: with pydicom alone, to show that the limit is one.
"""

from __future__ import annotations

import resource
import sys
import threading
import time
from pathlib import Path

from pydicom import dcmread

from node.errors import PermanentError
from node.store.header import header_of_file


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _read(path: Path) -> None:
    try:
        header_of_file(path)
    except PermanentError as error:
        sys.stdout.write(f"refused: {error}\n")
    else:
        sys.stdout.write("read\n")


def _read_with_pydicom(path: Path) -> None:
    try:
        dcmread(path, specific_tags=["SOPInstanceUID"])
    except MemoryError:
        sys.stdout.write("MemoryError\n")
    else:
        sys.stdout.write("read\n")


def main() -> None:
    """Read the file in a thread, as the node does, and say what came of it."""
    path, mebibytes = Path(sys.argv[1]), int(sys.argv[2])
    read = _read_with_pydicom if sys.argv[3:] == ["pydicom"] else _read
    worker = threading.Thread(target=read, args=(path,))
    limit = _address_space() + mebibytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    started = time.perf_counter()
    worker.start()
    worker.join()
    sys.stderr.write(f"{time.perf_counter() - started:.2f} s\n")


if __name__ == "__main__":
    main()
