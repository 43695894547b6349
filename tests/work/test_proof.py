"""Proof that a destination holds what it was sent, and what happens where there is none."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from node.domain import DeliveryState, Proof, StudyState
from tests.builders.network import wait_until
from tests.deliver.archive import NEVER, archive
from tests.deliver.origin import origin
from tests.work.post import Post, numbers

pytestmark = pytest.mark.loopback

AWAITED, PROVEN, ALARMED = Proof.AWAITED, Proof.PROVEN, Proof.ALARMED
UID = "2.25.{}".format


@pytest.fixture
def open_post(tmp_path):
    """Open a delivering process; one opened later works on the same data."""
    opened = []

    def start(port, proof="storage_commitment", **options):
        keys = options.pop("keys", {})
        destination = {"port": port, "proof": proof, "prove_within_s": 60, **keys}
        opened.append(Post(tmp_path, {"pacs": destination}, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def prove(post):
    """What the thread for proofs does at one time."""
    post.senders.provers["pacs"].work_off()


def proofs(post, study="1.2.3"):
    return {number: row.proof for number, row in post.rows(study=study).items()}


def by(post, number=1):
    return post.rows()[number].proven_by


def test_what_the_archive_commits_to_is_proven(open_post):
    with archive() as pacs:
        post = open_post(pacs.port)
        post.put(1, 2)
        post.deliver()
        assert proofs(post) == {1: AWAITED, 2: AWAITED}

        prove(post)

        assert proofs(post) == {1: PROVEN, 2: PROVEN}
        assert by(post) == "storage commitment"
        assert post.rows()[1].proven_at == post.clock()
        assert [uids for _, uids in pacs.requests] == [[UID(1), UID(2)]]
        prove(post)
        assert len(pacs.requests) == 1


def test_each_study_is_a_transaction_and_waits_for_all_of_it(open_post):
    with archive() as pacs:
        post = open_post(pacs.port)
        post.put(1, study="1.2.3")
        post.deliver()
        post.put(2, study="1.2.3")
        prove(post)
        assert pacs.requests == []

        post.put(3, study="1.2.4")
        post.deliver()
        prove(post)

        assert sorted(uids for _, uids in pacs.requests) == [[UID(1), UID(2)], [UID(3)]]
        assert len({transaction for transaction, _ in pacs.requests}) == 2


def test_nothing_is_asked_where_no_proof_is_wanted(open_post):
    with archive() as pacs:
        post = open_post(pacs.port, proof="none")
        post.put(1)
        post.deliver()
        prove(post)

        assert pacs.requests == []
        assert proofs(post) == {1: None}


def test_only_what_is_not_committed_to_is_sent_again_and_then_proven(open_post):
    with archive() as pacs:
        post = open_post(pacs.port)
        post.hand_over()
        post.put(1, 2, 3)
        pacs.loses = lambda ds: numbers([ds]) == [2] and len(pacs.stored) < 4
        post.deliver()
        assert post.index.study("1.2.3").state is StudyState.DONE

        prove(post)

        assert proofs(post) == {1: PROVEN, 2: AWAITED, 3: PROVEN}
        assert post.states()[2] is DeliveryState.WAITING
        assert post.index.study("1.2.3").state is StudyState.DELIVERING
        assert "0x0112" in post.rows()[2].reason
        post.deliver()
        prove(post)
        assert numbers(pacs.stored) == [1, 2, 3, 2]
        assert proofs(post) == {1: PROVEN, 2: PROVEN, 3: PROVEN}
        assert [uids for _, uids in pacs.requests][1:] == [[UID(2)]]
        assert post.index.study("1.2.3").state is StudyState.DONE


def test_an_archive_that_never_reports_gets_it_again_and_is_then_looked_up(open_post):
    with archive(report=NEVER) as pacs:
        post = open_post(pacs.port)
        post.put(1)
        post.deliver()
        prove(post)
        post.clock.advance(seconds=59)
        prove(post)
        assert post.states() == {1: DeliveryState.DELIVERED}

        post.clock.advance(seconds=2)
        prove(post)
        assert post.states() == {1: DeliveryState.WAITING}
        assert "no report of storage commitment within 60 s" in post.rows()[1].reason
        post.deliver()
        prove(post)
        post.clock.advance(seconds=61)
        prove(post)
        prove(post)

        assert numbers(pacs.stored) == [1, 1]
        assert len(pacs.requests) == 2
        assert proofs(post) == {1: PROVEN}
        assert by(post) == "query"


def lose_everything(post, pacs):
    """Send, and let every deadline pass."""
    for _ in range(6):
        post.deliver()
        prove(post)
        post.clock.advance(seconds=61)


@pytest.mark.parametrize("report", ["on the same association", NEVER])
def test_what_stays_unproven_raises_the_alarm_once(open_post, report):
    with archive(report=report) as pacs, capture_logs() as logs:
        post = open_post(pacs.port)
        post.put(1, 2)
        pacs.loses = lambda ds: numbers([ds]) == [2]
        lose_everything(post, pacs)

        assert proofs(post) == {1: PROVEN, 2: ALARMED}
        assert "a query does not find it" in post.rows()[2].proof_reason
        assert numbers(pacs.stored).count(2) == 2
    (alarm,) = [entry for entry in logs if entry["event"] == "delivery.alarm"]
    assert (alarm["objects"], alarm["destination"]) == (1, "pacs")
    assert post.ledger.proofs.counts() == {("pacs", "proven"): 1, ("pacs", "alarmed"): 1}


def test_a_query_that_finds_nothing_yet_is_made_again_before_anything_is_sent_again(open_post):
    with archive() as pacs:
        post = open_post(pacs.port, proof="query")
        post.put(1)
        pacs.loses = lambda _ds: True
        post.deliver()
        prove(post)
        assert proofs(post) == {1: AWAITED}

        pacs.held = {UID(1): pacs.stored[0]}
        post.clock.advance(seconds=11)
        prove(post)

        assert proofs(post) == {1: PROVEN}
        assert by(post) == "query"
        assert len(pacs.stored) == 1
        assert pacs.requests == []


def test_success_for_a_lost_object_is_found_out_by_a_query_and_mended(open_post):
    with archive() as pacs:
        post = open_post(pacs.port, proof="query")
        post.put(1)
        pacs.loses = lambda _ds: len(pacs.stored) < 2
        lose_everything(post, pacs)

        assert proofs(post) == {1: PROVEN}
        assert numbers(pacs.stored) == [1, 1]


def test_an_origin_server_is_asked_what_it_holds(tmp_path):
    with origin() as server:
        keys = {
            "kind": "dicomweb",
            "url": f"http://127.0.0.1:{server.port}/dicom-web",
            "proof": "query",
            "prove_within_s": 60,
        }
        post = Post(tmp_path, {"pacs": keys})
        post.put(1, 2)
        server.loses = True
        post.deliver()
        prove(post)
        assert proofs(post) == {1: AWAITED, 2: AWAITED}
        server.loses = False
        for _ in range(2):
            post.clock.advance(seconds=61)
            prove(post)
            post.deliver()
        prove(post)

        assert proofs(post) == {1: PROVEN, 2: PROVEN}
        assert post.rows()[1].status == 0x0000
        post.close()


@pytest.mark.parametrize("refusal", ["no context", 0x0112])
def test_an_archive_without_storage_commitment_is_looked_up(open_post, refusal):
    with archive(commitment=refusal != "no context") as pacs:
        pacs.action_status = refusal
        post = open_post(pacs.port)
        post.put(1)
        post.deliver()
        prove(post)
        prove(post)

        assert proofs(post) == {1: PROVEN}
        assert by(post) == "query"


def test_an_archive_that_proves_nothing_at_all_raises_the_alarm_and_says_why(open_post):
    with archive(commitment=False, find=False) as pacs:
        post = open_post(pacs.port)
        post.put(1)
        post.deliver()
        prove(post)
        prove(post)

    assert proofs(post) == {1: ALARMED}
    assert "does not accept Study Root" in post.rows()[1].proof_reason
    assert numbers(pacs.stored) == [1]


def test_a_report_of_another_transaction_proves_nothing(open_post):
    with archive() as pacs:
        post = open_post(pacs.port)
        post.put(1)
        pacs.transaction_uid = lambda _uid: "2.25.7"
        post.deliver()
        prove(post)

    assert proofs(post) == {1: AWAITED}


def test_a_report_that_comes_twice_or_late_counts_once(open_post):
    with archive() as pacs:
        post = open_post(pacs.port)
        post.put(1)
        post.deliver()
        prove(post)
        (transaction_uid, uids) = pacs.requests[0]
        proven_at = post.rows()[1].proven_at
        post.clock.advance(seconds=100)

        assert post.ledger.proofs.report(transaction_uid, uids, {}, post.clock())
        assert post.ledger.proofs.report(transaction_uid, [], {UID(1): 0x0112}, post.clock())

    assert proofs(post) == {1: PROVEN}
    assert post.rows()[1].proven_at == proven_at


def test_a_late_report_ends_the_alarm(open_post):
    with archive(report=NEVER, find=False) as pacs:
        post = open_post(pacs.port)
        post.put(1)
        lose_everything(post, pacs)
        assert proofs(post) == {1: ALARMED}
        transaction_uid, uids = pacs.requests[-1]

        post.ledger.proofs.report(transaction_uid, uids, {}, post.clock())

    assert proofs(post) == {1: PROVEN}


def test_what_an_administrator_sends_again_is_to_be_proven_anew(open_post):
    with archive() as pacs:
        post = open_post(pacs.port)
        post.put(1)
        post.deliver()
        prove(post)
        post.ledger.outbox.resend("1.2.3", None, failed_only=False, now=post.clock())
        assert proofs(post) == {1: None}
        post.deliver()
        prove(post)

        assert proofs(post) == {1: PROVEN}
        assert len(pacs.requests) == 2


def test_an_archive_that_is_away_is_asked_when_it_is_back(open_post):
    with archive() as pacs:
        port = pacs.port
        post = open_post(port)
        post.put(1)
        post.deliver()
    prove(post)
    post.clock.advance(hours=1)
    prove(post)
    assert proofs(post) == {1: AWAITED}
    with archive(port=port) as pacs:
        pacs.held = {UID(1): None}
        post.clock.advance(hours=1)
        prove(post)

        assert proofs(post) == {1: PROVEN}


def test_an_archive_that_can_never_be_asked_raises_the_alarm_in_the_end(open_post):
    with archive() as pacs:
        post = open_post(pacs.port)
        post.put(1)
        post.deliver()
    for _ in range(4):
        post.clock.advance(hours=1)
        prove(post)

    assert proofs(post) == {1: ALARMED}
    assert "cannot be reached" in post.rows()[1].proof_reason


def test_another_host_that_sends_to_the_archive_also_asks_it(open_post):
    with archive() as pacs:
        first = open_post(pacs.port, owner="one")
        second = open_post(pacs.port, owner="other", clock=first.clock)
        first.put(1)
        first.deliver()
        prove(second)
        assert pacs.requests == []

        first.clock.advance(seconds=61)
        prove(second)

        assert len(pacs.requests) == 1
        assert proofs(first) == {1: PROVEN}


def test_the_next_process_asks_under_the_same_transaction_uid(open_post):
    with archive() as pacs:
        post = open_post(pacs.port)
        post.put(1)
        post.deliver()

        def die(_uid, *_arguments):
            raise KeyboardInterrupt

        post.ledger.proofs.note_asked = die
        pacs.report = NEVER
        with pytest.raises(KeyboardInterrupt):
            prove(post)
        again = open_post(pacs.port, clock=post.clock)
        pacs.report = "on the same association"
        prove(again)

        assert len(pacs.requests) == 2
        assert pacs.requests[0] == pacs.requests[1]
        assert proofs(again) == {1: PROVEN}


def test_the_threads_of_a_process_prove_by_themselves(open_post):
    with archive() as pacs:
        post = open_post(pacs.port)
        post.put(1)
        post.senders.start()
        wait_until(lambda: proofs(post) == {1: PROVEN}, within_s=30, what="the proof")
