"""A destination that is down, refuses, hangs or is full, and everybody else meanwhile."""

from __future__ import annotations

import random
import threading

import psutil
import pytest
from pydicom.uid import ComputedRadiographyImageStorage, CTImageStorage
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from node.domain import DeliveryState, ResultKind, StudyState
from node.store.ledger import Ledger
from node.store.outbox import SENT_AGAIN
from tests.builders.network import free_port, peer, wait_until
from tests.builders.records import artifact
from tests.deliver.peers import Silence, raw_peer, silent_peer
from tests.work.post import Post, numbers

pytestmark = pytest.mark.loopback

OUT_OF_RESOURCES = 0xA700
WAITING, DELIVERED, FAILED = DeliveryState.WAITING, DeliveryState.DELIVERED, DeliveryState.FAILED


@pytest.fixture
def open_post(tmp_path):
    """Open a delivering process; one opened later works on the same data."""
    opened = []

    def start(port=None, **options):
        destinations = options.pop("destinations", None) or {"pacs": {"port": port}}
        opened.append(Post(tmp_path, destinations, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def away(post, name="pacs"):
    return post.ledger.outbox.row(name).failures


def refuse(*refused, status=OUT_OF_RESOURCES):
    """Answer with a status to these objects, and take the others."""
    return lambda ds: status if numbers([ds])[0] in refused else 0x0000


def test_objects_go_in_order_of_priority_then_age_and_over_one_association(open_post):
    with peer() as pacs:
        post = open_post(pacs.port)
        post.put(1, study="1.2.3")
        post.clock.advance(seconds=1)
        post.put(2, study="1.2.4")
        post.put(3, study="1.2.5", priority=1)
        post.clock.advance(seconds=-2)
        post.put(4, study="1.2.6")

        post.deliver()

        assert numbers(pacs.stored) == [3, 4, 1, 2]
        assert pacs.associations == 1


def test_a_segmentation_goes_before_the_report_and_the_picture_of_its_study(open_post):
    with peer() as pacs:
        post = open_post(pacs.port)
        post.put(1, kind=ResultKind.SC)
        post.put(2, kind=ResultKind.SR)
        post.put(3, kind=ResultKind.SEG)

        post.deliver()

        assert numbers(pacs.stored) == [3, 2, 1]


def test_what_is_urgent_overtakes_a_long_queue(open_post):
    with peer() as pacs:
        post = open_post(pacs.port)
        post.put(*range(100, 140))

        def put_an_urgent_one(_ds):
            if len(pacs.stored) == 2:
                post.put(1, study="1.2.4", priority=1)
                post.senders.wake()
            return 0x0000

        pacs.answer = put_an_urgent_one
        post.deliver()

        assert numbers(pacs.stored).index(1) == 3
        assert len(pacs.stored) == 41


def test_a_destination_that_is_away_keeps_nobody_else_waiting(open_post):
    with peer() as pacs:
        post = open_post(destinations={"pacs": {"port": pacs.port}, "dead": {"port": free_port()}})
        post.put(1, 2, to=("pacs", "dead"))

        post.senders.start()

        wait_until(lambda: len(pacs.stored) == 2, within_s=20, what="both objects")
        wait_until(lambda: away(post, "dead"), within_s=20, what="the dead one is seen")
    assert set(post.states("dead").values()) == {WAITING}


@pytest.mark.parametrize(
    ("silence", "reason"),
    [
        (Silence.AFTER_CONNECT, "did not answer within 1 s"),
        (Silence.DRIPPING, "did not answer within 1 s"),
        (Silence.HUGE, "announced a PDU of 1500000000 bytes"),
        (Silence.HTTP, "announced a PDU of"),
        (Silence.ABORTING, "aborted the association request"),
        (Silence.CLOSING, "broke the association off"),
    ],
)
def test_a_peer_that_makes_no_association_is_away_and_no_object_is_blamed(
    open_post, silence, reason
):
    with silent_peer(silence) as port:
        post = open_post(destinations={"pacs": {"port": port, "timeout_s": 1}})
        post.put(1)

        post.deliver()

    assert reason in post.ledger.outbox.row("pacs").reason
    assert post.rows()[1].attempts == 0


def test_a_peer_that_rejects_the_association_is_away_and_gets_everything_when_it_does_not(
    open_post,
):
    with peer(ae_title="OTHER") as pacs:
        post = open_post(pacs.port)
        post.put(1, 2)
        post.deliver()
        assert "called ae title not recognised" in post.ledger.outbox.row("pacs").reason
        port = pacs.port
    with peer(port=port) as pacs:
        post.clock.advance(seconds=10)
        post.deliver()

        assert numbers(pacs.stored) == [1, 2]
    assert away(post) == 0


def test_a_peer_that_hangs_in_the_second_object_is_away_after_the_third(open_post):
    with silent_peer(Silence.AFTER_ASSOCIATION) as port:
        post = open_post(destinations={"pacs": {"port": port, "timeout_s": 0.3}})
        post.put(1, 2, 3)

        post.deliver()

    assert away(post) == 1
    assert [row.attempts for row in post.rows().values()] == [1, 1, 0]
    assert "did not answer within 0.3 s" in post.rows()[1].reason


def test_an_object_at_which_the_peer_breaks_off_does_not_keep_the_others(open_post):
    with peer() as pacs:
        pacs.abort_at = lambda ds: numbers([ds]) == [1]
        post = open_post(pacs.port)
        post.put(1, 2, 3)

        post.deliver()

        assert numbers(pacs.stored) == [2, 3]
        row = post.rows()[1]
        assert (row.state, row.attempts) == (WAITING, 1)
        assert "aborted the association" in row.reason
        assert (row.next_try_at - post.clock.now).total_seconds() == 10
        assert away(post) == 0

        post.put(4)
        post.clock.advance(seconds=9)
        post.deliver()
        assert numbers(pacs.stored) == [2, 3, 4]

        pacs.abort_at = lambda _ds: False
        post.clock.advance(seconds=1)
        post.deliver()
    assert set(post.states().values()) == {DELIVERED}


def test_the_wait_of_one_object_doubles_with_its_tries(open_post):
    with peer(answer=refuse(1)) as pacs:
        post = open_post(pacs.port)
        post.put(1)

        waits = []
        for _ in range(5):
            post.deliver()
            waits.append((post.rows()[1].next_try_at - post.clock.now).total_seconds())
            post.clock.advance(seconds=waits[-1])

    assert waits == [10, 20, 40, 80, 80]


def test_a_full_pacs_is_left_alone_tried_with_one_object_and_gets_the_rest_when_it_has_room(
    open_post,
):
    tried = []

    def full(ds):
        tried.append(numbers([ds])[0])
        return OUT_OF_RESOURCES

    with peer(answer=full) as pacs:
        post = open_post(pacs.port)
        post.put(1, 2, 3, 4, 5)
        post.deliver()
        assert (tried, away(post)) == ([1, 2], 1)

        post.deliver()
        assert tried == [1, 2]
        post.clock.advance(seconds=10)
        post.deliver()
        assert (tried, away(post)) == ([1, 2, 3], 2)

        pacs.answer = lambda _ds: 0x0000
        post.clock.advance(seconds=20)
        post.deliver()

        assert sorted(numbers(pacs.stored)) == [1, 2, 3, 4, 5]
    assert away(post) == 0
    assert post.ledger.outbox.row("pacs").away_since is None


def test_a_sop_class_that_is_not_accepted_fails_and_the_others_go(open_post):
    with peer(sop_classes=[CTImageStorage, ComputedRadiographyImageStorage]) as pacs:
        post = open_post(pacs.port)
        post.put(1, Modality="CR", SOPClassUID=ComputedRadiographyImageStorage)
        post.put(2)
        post.put(3, Modality="CR", SOPClassUID=ComputedRadiographyImageStorage)

        post.deliver()

        assert numbers(pacs.stored) == [1, 3]
    row = post.rows()[2]
    assert row.state is FAILED
    assert "does not accept SOP class" in row.reason
    assert away(post) == 0


def test_a_destination_that_is_back_and_takes_no_such_object_is_not_away_any_more(open_post):
    with peer() as reserved:
        port = reserved.port
    post = open_post(port)
    post.put(1)
    post.deliver()
    assert away(post) == 1
    with peer(port=port, sop_classes=[CTImageStorage]):
        post.clock.advance(seconds=10)
        post.deliver()

    assert post.states() == {1: FAILED}
    assert away(post) == 0


def test_what_waited_while_the_node_was_off_is_tried_before_it_is_given_up(open_post):
    with peer() as reserved:
        port = reserved.port
    before = open_post(port)
    before.put(1, 2)
    before.deliver()
    before.clock.advance(hours=100)
    with peer(port=port) as pacs:
        after = open_post(port, clock=before.clock)
        after.senders.mend()
        after.deliver()

        assert numbers(pacs.stored) == [1, 2]


def test_what_waited_while_the_node_was_off_is_given_up_when_it_was_tried_in_vain(open_post):
    before = open_post(free_port())
    before.put(1, 2)
    before.deliver()
    before.clock.advance(hours=100)
    after = open_post(before.outbox().destination.port, clock=before.clock)
    after.deliver()
    after.senders.mend()

    assert set(after.states().values()) == {FAILED}


def test_a_clock_that_jumps_by_days_gives_nothing_up_before_it_was_tried(open_post):
    with peer() as reserved:
        port = reserved.port
    post = open_post(port)
    post.put(1)
    post.deliver()
    post.clock.advance(hours=24 * 365)
    post.senders.mend()
    with peer(port=port) as pacs:
        post.deliver()

        assert numbers(pacs.stored) == [1]


def test_a_result_that_is_gone_from_the_disk_fails_by_name_and_the_others_go(open_post):
    with peer() as pacs:
        post = open_post(pacs.port)
        post.put(1, 2)
        post.files.path("results/1.dcm").unlink()

        post.deliver()

        assert numbers(pacs.stored) == [2]
    assert post.rows()[1].reason == "1.dcm is gone from the disk"


def test_a_peer_that_released_between_two_objects_gets_the_next_over_a_new_association(open_post):
    messages = []

    def one_for_each_association(raw):
        raw.accept()
        messages.append(raw.message())
        raw.answer(0x0000, 1)
        raw.send(0x05)
        while raw.pdu()[0] != 0x06:
            continue

    with raw_peer(one_for_each_association) as port:
        post = open_post(port)
        post.put(1, 2, 3)

        post.deliver()

    assert len(messages) == 3
    assert set(post.states().values()) == {DELIVERED}
    assert [row.attempts for row in post.rows().values()] == [1, 1, 1]


def test_waits_are_shortened_by_chance_by_up_to_a_fifth(open_post):
    post = open_post(free_port(), chance=random.Random(20))  # noqa: S311 - jitter
    post.put(1)
    waits = []
    for _ in range(8):
        post.deliver()
        row = post.ledger.outbox.row("pacs")
        waits.append((row.next_try_at - post.clock.now).total_seconds())
        post.clock.advance(seconds=waits[-1])

    for wait, longest in zip(waits, [10, 20, 40, 80, 80, 80, 80, 80], strict=True):
        assert 0.8 * longest <= wait <= longest
    assert len({round(wait, 3) for wait in waits[3:]}) == 5


@pytest.mark.parametrize("hours", [-24, -1])
def test_a_clock_that_was_set_back_does_not_keep_a_destination_waiting(open_post, hours):
    with peer() as reserved:
        port = reserved.port
    post = open_post(port)
    post.put(1, 2)
    post.deliver()
    with peer(port=port) as pacs:
        post.clock.advance(hours=hours)
        post.deliver()

        assert numbers(pacs.stored) == [1, 2]


def test_a_clock_that_was_set_back_does_not_keep_an_object_waiting(open_post):
    with peer(answer=refuse(1)) as pacs:
        post = open_post(pacs.port)
        post.put(1)
        post.deliver()
        pacs.answer = lambda _ds: 0x0000
        post.clock.advance(hours=-3)
        post.deliver()

        assert numbers(pacs.stored) == [1]


def test_a_clock_that_was_set_forward_ends_the_wait_and_nothing_else(open_post):
    post = open_post(free_port())
    post.put(1)
    post.deliver()
    post.clock.advance(hours=1)
    post.deliver()

    assert away(post) == 2
    assert post.rows()[1].state is WAITING


def test_only_one_host_sends_to_a_destination_and_another_takes_over_when_it_has_died(open_post):
    with peer() as pacs:
        dead = open_post(pacs.port, owner="a")
        other = open_post(pacs.port, owner="b", clock=dead.clock)
        dead.put(1)
        dead.deliver()
        dead.put(2)

        dead.clock.advance(seconds=59)
        other.deliver()
        assert numbers(pacs.stored) == [1]

        dead.clock.advance(seconds=1)
        other.deliver()
        dead.put(3)
        dead.deliver()
        assert numbers(pacs.stored) == [1, 2]


def test_the_same_host_sends_again_at_once_after_a_restart(open_post):
    with peer() as pacs:
        before = open_post(pacs.port)
        before.put(1)
        before.deliver()
        before.put(2)

        open_post(pacs.port, clock=before.clock).deliver()

        assert numbers(pacs.stored) == [1, 2]


def test_a_lease_from_before_the_clock_was_set_back_does_not_count(open_post):
    with peer() as pacs:
        ahead = open_post(pacs.port, owner="a")
        ahead.put(1)
        ahead.deliver()
        ahead.put(2)
        ahead.clock.advance(hours=-3)

        open_post(pacs.port, owner="b", clock=ahead.clock).deliver()

        assert numbers(pacs.stored) == [1, 2]


def test_two_senders_of_one_destination_send_every_object_once(open_post):
    with peer() as pacs:
        post = open_post(destinations={"pacs": {"port": pacs.port, "max_associations": 2}})
        post.put(*range(1, 41))

        post.senders.start()
        post.senders.wake()

        wait_until(lambda: len(pacs.stored) >= 40, within_s=30, what="forty objects")
        assert sorted(numbers(pacs.stored)) == list(range(1, 41))
        assert pacs.associations >= 2


def test_what_was_delivered_can_be_sent_again_and_the_study_ends_again(open_post):
    with peer() as pacs:
        post = open_post(pacs.port)
        post.put(1, 2)
        post.hand_over()
        post.deliver()
        assert post.index.revision("1.2.3", 1).state is StudyState.DONE

        assert post.ledger.outbox.resend("1.2.3", None, failed_only=False, now=post.clock()) == 2
        assert {row.reason for row in post.rows().values()} == {SENT_AGAIN}
        assert post.index.study("1.2.3").state is StudyState.DELIVERING
        post.deliver()

        assert numbers(pacs.stored) == [1, 2, 1, 2]
    assert [row.attempts for row in post.rows().values()] == [2, 2]
    assert post.index.study("1.2.3").state is StudyState.DONE


def test_only_what_failed_is_sent_again_when_only_that_is_asked_for(open_post):
    with peer(answer=refuse(2, status=0xA900)) as pacs:
        post = open_post(pacs.port)
        post.put(1, 2)
        post.hand_over()
        post.deliver()
        assert post.index.study("1.2.3").state is StudyState.FAILED
        pacs.answer = lambda _ds: 0x0000

        assert post.ledger.outbox.resend("1.2.3", "pacs", failed_only=True, now=post.clock()) == 1
        post.deliver()

        assert numbers(pacs.stored) == [1, 2]
    assert post.index.study("1.2.3").state is StudyState.DONE


def test_what_is_sent_again_is_tried_at_once_although_its_destination_was_to_wait(open_post):
    with peer() as reserved:
        port = reserved.port
    post = open_post(port)
    post.put(1)
    post.hand_over()
    post.deliver()
    post.clock.advance(hours=2.5)
    post.deliver()
    post.senders.mend()
    assert post.states() == {1: FAILED}
    with peer(port=port) as pacs:
        post.ledger.outbox.resend("1.2.3", None, failed_only=True, now=post.clock())
        post.deliver()

        assert numbers(pacs.stored) == [1]
    assert post.index.study("1.2.3").state is StudyState.DONE


def test_an_object_whose_answer_was_not_recorded_is_sent_again_the_same_to_the_byte(open_post):
    with peer() as pacs:
        post = open_post(pacs.port)
        post.put(1)
        post.deliver()
        post.ledger.outbox.resend("1.2.3", None, failed_only=False, now=post.clock())

        open_post(pacs.port, clock=post.clock).deliver()

        first, second = pacs.stored
        assert first == second


def test_the_log_says_once_that_a_destination_is_away_and_once_that_it_is_back(open_post):
    with peer() as reserved:
        port = reserved.port
    post = open_post(port)
    post.put(1, 2)
    with capture_logs() as lines:
        for _ in range(3):
            post.deliver()
            post.clock.advance(seconds=80)
        with peer(port=port):
            post.deliver()

    changes = [line["event"] for line in lines if line["event"].startswith("delivery.")]
    assert changes == [
        "delivery.interrupted",
        "delivery.away",
        "delivery.interrupted",
        "delivery.interrupted",
        "delivery.back",
    ]


def test_a_database_that_is_away_for_a_moment_keeps_no_object_from_being_sent(open_post):
    class Failing(Ledger):
        broken = 1

        def record_outcome(self, *arguments, **keywords):
            if self.broken:
                self.broken -= 1
                raise OperationalError("update", None, Exception("locked"))
            super().record_outcome(*arguments, **keywords)

    with peer() as pacs:
        post = open_post(pacs.port, ledger=Failing)
        post.put(1, 2)
        with pytest.raises(OperationalError):
            post.deliver()

        post.deliver()

        assert sorted(numbers(pacs.stored)) == [1, 1, 2]
    assert set(post.states().values()) == {DELIVERED}


def test_ten_thousand_objects_that_wait_cost_no_thread_and_no_memory(open_post):
    post = open_post(free_port())
    post.put(0, study="1.2.0")
    process = psutil.Process()
    waiting = [
        artifact(number, study_instance_uid=f"1.2.{number // 3}", path="results/0.dcm")
        for number in range(1, 10_001)
    ]
    post.senders.start()
    wait_until(lambda: away(post) == 1, within_s=20, what="the first try")
    threads, memory = threading.active_count(), process.memory_info().rss

    post.ledger.record_artifacts(waiting, "key", post.clock())
    del waiting
    post.senders.wake()
    for _ in range(5):
        failures = away(post)
        post.clock.advance(seconds=80)
        post.senders.wake()
        wait_until(lambda: away(post) > failures, within_s=20, what="the next try")  # noqa: B023

    assert threading.active_count() == threads
    assert process.memory_info().rss - memory < 30 * 2**20
    [summary] = post.ledger.outbox.summaries()
    assert summary.waiting == 10_001
