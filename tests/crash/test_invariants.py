"""What the checks find when something is wrong: without this, no kill would prove anything."""

from __future__ import annotations

import pytest

from tests.builders.network import wait_until
from tests.crash.destination import Arrived
from tests.crash.invariants import verify
from tests.crash.objects import study

pytestmark = pytest.mark.loopback


def damaged(stage, damage):
    """A node that has done one study without any trouble, and then had some."""
    with stage.world(quiet_period_s=0.3) as world:
        world.start_all()
        one, job = world.send_one("CT")
        job.join(60)
        wait_until(lambda: not world.open_studies(), within_s=60, what="the study at an end")
        paths = [
            world.node.stores.files.path(row.path)
            for row in world.node.stores.index.study_instances(one.uid)
        ]
        damage(world, one, sorted(paths))
        return verify(world, settle_within_s=3)


def test_every_kind_of_damage_is_found(play):
    def damage(world, one, paths):
        paths[0].unlink()
        paths[1].write_bytes(paths[1].read_bytes()[:-1] + b"?")
        (paths[2].parent / "stray.dcm").write_bytes(b"")
        pacs, archive = world.archives["pacs"], world.archives["archive"]
        (seg,) = [uid for uid, each in archive.kept.items() if each.modality == "SEG"]
        del archive.kept[seg]
        (report,) = [each for each in pacs.kept.values() if each.modality == "SR"]
        pacs.kept["2.25.1"] = report
        pacs.kept["2.25.2"] = Arrived("2.25.3", "SEG", frozenset(), "")
        never_sent = study("MR", "never sent")
        world.receipts.studies[never_sent.uid] = never_sent
        for sent in never_sent.objects[:1]:
            world.receipts.acknowledged[sent.sop_instance_uid] = sent

    verdict = play(lambda stage: damaged(stage, damage), 0)

    found = " | ".join(verdict.violations)
    assert "file is gone" in found
    assert "file has other bytes" in found
    assert "stray.dcm is in no row" in found
    assert "archive" in found
    assert "got {'SR': 1, 'OT': 1}" in found or "got {'OT': 1, 'SR': 1}" in found
    assert "two reports about the same instances" in found
    assert "result for study 2.25.3, which nobody sent" in found
    assert "was acknowledged and is not in the index" in found
    assert "is not at an end" in found


def test_a_report_about_less_than_was_sent_is_found(play):
    def damage(world, one, paths):
        for archive in world.archives.values():
            for uid, each in list(archive.kept.items()):
                if each.modality == "SR":
                    some = frozenset(sorted(each.evidence)[:2])
                    archive.kept[uid] = Arrived(one.uid, "SR", some, each.sha256)

    verdict = play(lambda stage: damaged(stage, damage), 0)

    assert len(verdict.other) == 2
    assert all("no report about all 5 instances" in sentence for sentence in verdict.other)
