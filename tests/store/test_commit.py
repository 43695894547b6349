"""Group commit: together if they wait, never at each other's cost, never for nothing."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, StatementError

from node.store.commit import MOST_WAITING, Committer, Shelving
from node.store.database import reading
from node.store.standing import Arrival, Receipt, Verdict
from tests.builders.network import wait_until
from tests.builders.records import instance

POISON = Arrival(instance(99, attributes={"Modality": object()}))
"""Not writable as JSON."""
NO_JSON = (StatementError, TypeError)
"""What SQLite's and PostgreSQL's drivers say of it."""


def until(condition, what):
    wait_until(condition, within_s=30, what=what)


class Gate:
    """An index whose batches a test holds back, and counts."""

    def __init__(self, index):
        self.index = index
        self.open = threading.Event()
        self.batches = []

    def record(self, batch):
        self.batches.append(len(batch))
        self.open.wait(30)
        return self.index.record_instances(batch)


@pytest.fixture
def committer(index):
    committer = Committer(index.record_instances)
    yield committer
    committer.close()


def arrival(number):
    return Arrival(instance(number))


def submit(committer, one, folder=None):
    """Hand over an instance whose file has its place already."""
    return committer.submit(lambda: Shelving(one, folder))


def test_what_waits_is_committed_together(index):
    gate = Gate(index)
    committer = Committer(gate.record)
    first = submit(committer, arrival(0))
    until(lambda: gate.batches, "a batch")
    rest = [submit(committer, arrival(number)) for number in range(1, 9)]

    gate.open.set()

    assert [one.result(30).verdict.receipt for one in (first, *rest)] == [Receipt.NEW] * 9
    assert gate.batches == [1, 8]
    committer.close()


def test_a_row_that_cannot_be_written_fails_alone(index):
    gate = Gate(index)
    committer = Committer(gate.record)
    first = submit(committer, arrival(0))
    until(lambda: gate.batches, "a batch")
    good, bad, also_good = (submit(committer, one) for one in (arrival(1), POISON, arrival(2)))

    gate.open.set()

    assert [one.result(30).verdict.receipt for one in (first, good, also_good)] == [Receipt.NEW] * 3
    with pytest.raises(NO_JSON):
        bad.result(30)
    assert index.study("1.2.3").instances == 3
    committer.close()


def test_a_row_that_its_driver_cannot_encode_fails_alone(committer):
    strange = Arrival(instance(1, calling_ae_title="\udcff"))

    bad, good = submit(committer, strange), submit(committer, arrival(2))

    assert good.result(30).verdict.receipt is Receipt.NEW
    with pytest.raises(UnicodeEncodeError):
        bad.result(30)


def test_a_folder_that_cannot_be_synced_fails_only_what_is_in_it(tmp_path, committer, index):
    bad = submit(committer, arrival(1), tmp_path / "gone")
    good = submit(committer, arrival(2), tmp_path)

    assert good.result(30).verdict.receipt is Receipt.NEW
    with pytest.raises(FileNotFoundError):
        bad.result(30)
    assert [one.sop_instance_uid for one in index.study_instances("1.2.3")] == ["1.2.3.1.2"]


def test_closing_commits_what_waits_and_takes_nothing_more(index):
    committer = Committer(index.record_instances)
    waiting = [submit(committer, arrival(number)) for number in range(100)]

    committer.close()

    assert all(one.done() for one in waiting)
    assert index.study("1.2.3").instances == 100
    with pytest.raises(OSError, match="stopping"):
        submit(committer, arrival(100))


def test_threads_that_commit_at_once_each_get_their_own_answer(index):
    committer = Committer(index.record_instances)
    found = []

    def send():
        found.append([submit(committer, arrival(n)).result(30).verdict.receipt for n in range(20)])

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    committer.close()

    each = list(zip(*found, strict=True))
    assert [sorted(one) for one in each] == [sorted([Receipt.NEW, *[Receipt.DUPLICATE] * 3])] * 20


class Away:
    """An index whose database is away until a test brings it back."""

    def __init__(self, index):
        self.index = index
        self.back = threading.Event()
        self.asked = 0

    def record(self, batch):
        self.asked += 1
        if not self.back.is_set():
            raise OperationalError("COMMIT", {}, Exception("server closed the connection"))
        return self.index.record_instances(batch)


def test_an_impatient_one_says_at_once_that_the_database_is_away(index):
    away = Away(index)
    committer = Committer(away.record)

    with pytest.raises(OperationalError):
        submit(committer, arrival(1)).result(30)

    away.back.set()
    assert submit(committer, arrival(1)).result(30).verdict.receipt is Receipt.NEW
    committer.close()


def test_a_patient_one_tries_again_until_the_database_is_back(index):
    away = Away(index)
    committer = Committer(away.record, patient=True)
    waiting = [submit(committer, arrival(number)) for number in range(5)]
    until(lambda: committer.stuck, "stuck")

    away.back.set()

    assert [one.result(30).verdict.receipt for one in waiting] == [Receipt.NEW] * 5
    until(lambda: not committer.stuck, "not stuck")
    committer.close()


def test_a_patient_one_gives_a_row_up_that_can_never_be_written(index):
    committer = Committer(index.record_instances, patient=True)

    bad, good = submit(committer, POISON), submit(committer, arrival(1))

    with pytest.raises(NO_JSON):
        bad.result(30)
    assert good.result(30).verdict.receipt is Receipt.NEW
    committer.close()


def test_a_patient_one_ends_although_the_database_is_away(index):
    committer = Committer(Away(index).record, patient=True)
    waiting = submit(committer, arrival(1))
    until(lambda: committer.stuck, "stuck")

    committer.close()

    with pytest.raises(OperationalError):
        waiting.result(30)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_connection_that_the_server_cuts_costs_no_instance(engine, committer):
    cut = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    for number in range(10):
        with engine.connect() as other:
            other.execute(cut)

        assert submit(committer, arrival(number)).result(30).verdict.receipt is Receipt.NEW


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_connection_cut_in_mid_transaction_costs_no_instance(engine, committer):
    """The committer waits for a lock when its connection is cut; it tries once more."""
    cut = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with engine.connect() as holder, reading(engine).connect() as other:
        held = holder.begin()
        holder.execute(text("LOCK TABLE studies"))
        waiting = submit(committer, arrival(1))
        until(lambda: other.execute(cut).first() is not None, "a cut connection")
        held.rollback()

    assert waiting.result(30).verdict.receipt is Receipt.NEW


def test_a_file_that_cannot_have_its_place_fails_alone(committer, index):
    def full():
        raise OSError(28, "No space left on device")

    bad, good = committer.submit(full), submit(committer, arrival(2))

    assert good.result(30).verdict.receipt is Receipt.NEW
    with pytest.raises(OSError, match="No space left"):
        bad.result(30)


def test_it_waits_for_a_quiet_moment_but_not_for_ever(index):
    gate = Gate(index)
    gate.open.set()
    committer = Committer(gate.record, longest_wait_s=0.5)
    stop = threading.Event()
    sent = []

    def keep_arriving():
        number = 0
        while not stop.wait(0.005):
            sent.append(submit(committer, arrival(number)))
            number += 1

    door = threading.Thread(target=keep_arriving)
    door.start()
    until(lambda: gate.batches, "the first batch, although it is never quiet")
    assert gate.batches[0] > 1
    stop.set()
    door.join()
    committer.close()
    assert all(one.done() for one in sent)


def test_a_patient_one_waits_until_the_disk_has_room(index):
    committer = Committer(index.record_instances, patient=True)
    full = threading.Event()
    full.set()

    def shelve():
        if full.is_set():
            raise OSError(28, "No space left on device")
        return Shelving(arrival(1), None)

    waiting = committer.submit(shelve)
    until(lambda: committer.stuck, "the committer says that it is stuck")
    full.clear()

    assert waiting.result(30).verdict.receipt is Receipt.NEW
    assert not committer.stuck
    committer.close()


def test_senders_that_wait_for_room_in_the_queue_do_not_hold_the_committer_up():
    begun, go_on = threading.Event(), threading.Event()

    def record(batch):
        begun.set()
        go_on.wait(30)
        return [Verdict(Receipt.NEW) for _ in batch]

    committer = Committer(record, sync=False)
    given = []

    def send():
        for _ in range(MOST_WAITING // 2):
            given.append(committer.submit(lambda: Shelving(arrival(0), None)))

    senders = [threading.Thread(target=send, daemon=True) for _ in range(3)]
    for sender in senders:
        sender.start()
    until(lambda: begun.is_set() and len(given) >= MOST_WAITING, "a full queue")
    assert any(sender.is_alive() for sender in senders)

    go_on.set()

    for sender in senders:
        sender.join(60)
    assert len(given) == 3 * (MOST_WAITING // 2)
    until(lambda: all(one.done() for one in given), "an answer to each")
    until(lambda: committer.is_idle, "an idle committer")
    committer.close()
