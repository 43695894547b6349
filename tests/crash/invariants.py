"""What must hold after any crash, checked from outside: files, index, destinations."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.builders.network import wait_until
from tests.crash.destination import Arrived
from tests.crash.objects import Study
from tests.crash.world import World

SETTLE_WITHIN_S = 240.0
PREAMBLE = 132
"""Bytes before the file meta information (PS3.10 Section 7.1)."""


@dataclass
class Verdict:
    """What was found; `ok` if nothing is wrong."""

    kills: int
    acknowledged: int
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    @property
    def violations(self) -> list[str]:
        """All sentences."""
        return [*self.lost, *self.duplicated, *self.unsettled, *self.orphans, *self.other]

    @property
    def ok(self) -> bool:
        """Whether every invariant holds."""
        return not self.violations


def verify(world: World, settle_within_s: float = SETTLE_WITHIN_S) -> Verdict:
    """Let the senders and the node finish, restart it once more, and look at everything.

    The roles run or are started; the last start is for the start-up sweep.
    """
    world.start_all()
    world.enough()
    verdict = Verdict(world.kills, len(world.receipts.acknowledged))
    _wait_for_the_end(world, verdict, settle_within_s)
    world.stop_all()
    world.start_all()
    if verdict.ok:
        _wait_for_the_end(world, verdict, settle_within_s)
    world.stop_all()
    _check_instances(world, verdict)
    _check_files(world, verdict)
    for name in world.archives:
        _check_destination(world, name, verdict)
    verdict.other += world.violations + world.receipts.unexpected
    return verdict


def _wait_for_the_end(world: World, verdict: Verdict, within_s: float) -> None:
    def at_an_end() -> bool:
        world.tend()
        return not world.open_studies()

    try:
        wait_until(at_an_end, within_s=within_s, what="every study at an end")
    except AssertionError:
        verdict.unsettled += [f"{each} is not at an end" for each in world.open_studies()]


def data_set_sha256(path: Path) -> str:
    """SHA-256 of what follows the file meta information, hex."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<I", content, PREAMBLE + 8)
    return hashlib.sha256(content[PREAMBLE + 12 + length :]).hexdigest()


def _check_instances(world: World, verdict: Verdict) -> None:
    """Every acknowledged instance is in the index once, and on the disk byte for byte."""
    stores = world.node.stores
    rows = {uid: stores.index.study_instances(uid) for uid in world.receipts.studies}
    for uid, sent in world.receipts.acknowledged.items():
        found = [r for r in rows[sent.study_instance_uid] if r.sop_instance_uid == uid]
        if not found:
            verdict.lost.append(f"{uid} was acknowledged and is not in the index")
        if len(found) > 1:
            verdict.duplicated.append(f"{uid} is in the index {len(found)} times")
        for row in found:
            path = stores.files.path(row.path)
            if not path.is_file():
                verdict.lost.append(f"{uid} was acknowledged and its file is gone")
            elif data_set_sha256(path) != sent.sha256:
                verdict.lost.append(f"{uid} was acknowledged and its file has other bytes")


def _check_files(world: World, verdict: Verdict) -> None:
    """No part files, and no received file that the index does not know."""
    stores = world.node.stores
    data = stores.files.data_dir
    verdict.orphans += [f"part file {file.name}" for file in (data / "parts").iterdir()]
    studies = stores.index.list_studies(limit=1_000_000)
    known = {
        stores.files.path(row.path)
        for study in studies
        for row in stores.index.study_instances(study.study_instance_uid)
    }
    found = {file for file in (data / "instances").rglob("*") if file.is_file()}
    verdict.orphans += [
        f"{file.relative_to(data)} is in no row of the index" for file in sorted(found - known)
    ]


def _check_destination(world: World, name: str, verdict: Verdict) -> None:
    """Each result once, about all that was sent, and nothing else."""
    archive = world.archives[name]
    verdict.duplicated += [f"{name}: {uid} came with other bytes" for uid in archive.different]
    by_study: dict[str, list[Arrived]] = {}
    for arrived in archive.kept.values():
        by_study.setdefault(arrived.study_instance_uid, []).append(arrived)
    verdict.other += [
        f"{name}: result for study {uid}, which nobody sent"
        for uid in by_study.keys() - world.receipts.studies.keys()
    ]
    for uid, study in world.receipts.studies.items():
        if all(o.sop_instance_uid in world.receipts.acknowledged for o in study.objects):
            _check_results(f"{name}: study {uid}", study, by_study.get(uid, []), verdict)


def _check_results(what: str, study: Study, results: list[Arrived], verdict: Verdict) -> None:
    """The results of one study: those of its last revision are about all of its instances."""
    counts = Counter(each.modality for each in results)
    if not study.results:
        if results:
            verdict.other.append(f"{what} ({study.kind}): no rule wants it; got {dict(counts)}")
        return
    whole = frozenset(each.sop_instance_uid for each in study.objects)
    # A report names its own segmentation too.
    about = [each.evidence & whole for each in results if each.modality == "SR"]
    if whole not in about:
        verdict.other.append(
            f"{what} ({study.kind}): no report about all {len(whole)} instances; "
            f"reports about {sorted(map(len, about))}"
        )
    if len(set(about)) < len(about):
        verdict.duplicated.append(f"{what}: two reports about the same instances")
    if sorted(counts) != sorted(study.results) or len(set(counts.values())) > 1:
        verdict.other.append(
            f"{what}: expected as many of each of {study.results}, got {dict(counts)}"
        )
