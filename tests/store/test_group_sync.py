"""Many threads share one sync of a folder, and none waits for ever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from node.store.group_sync import GroupSync

THREADS = 8
WITHIN_S = 30


@pytest.fixture
def threads():
    pool = ThreadPoolExecutor(THREADS)
    yield pool
    pool.shutdown(wait=False, cancel_futures=True)


def test_every_thread_that_asks_is_served(tmp_path, threads):
    group = GroupSync(tmp_path)
    asked = [threads.submit(group.sync) for _ in range(50 * THREADS)]
    assert [one.result(WITHIN_S) for one in asked] == [None] * len(asked)


def test_a_folder_that_cannot_be_synced_is_told_to_every_thread(tmp_path, threads):
    group = GroupSync(tmp_path / "gone")
    asked = [threads.submit(group.sync) for _ in range(5 * THREADS)]
    assert {type(one.exception(WITHIN_S)) for one in asked} <= {OSError, FileNotFoundError}


def test_a_sync_that_breaks_off_leaves_nobody_waiting(threads):
    group = GroupSync(Path("no\0folder"))
    asked = [threads.submit(group.sync) for _ in range(5 * THREADS)]
    assert all(one.exception(WITHIN_S) is not None for one in asked)


def test_what_failed_once_works_when_the_folder_is_back(tmp_path, threads):
    group = GroupSync(tmp_path / "later")
    with pytest.raises(OSError, match="No such file"):
        group.sync()
    (tmp_path / "later").mkdir()
    group.sync()
