"""Which instances of a study are its inputs, and sentences about those that are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from node.domain import Instance, Standing

REASONS_SHOWN = 3
"""A reason may name a UID, and then every instance has one of its own."""


def used_instances(instances: Sequence[Instance]) -> tuple[list[Instance], list[str]]:
    """Split off what is quarantined or set aside.

    Returns
    -------
    used
        In the order they were given.
    left_out
        One sentence for each standing and reason, without patient data.
    """
    used = [one for one in instances if one.standing is Standing.USED]
    quarantined = _grouped(instances, Standing.QUARANTINED)
    if quarantined:
        study = instances[0].study_instance_uid
        quarantined[-1] += f"; `wetread studies release {study}` lets them in"
    return used, quarantined + _grouped(instances, Standing.SET_ASIDE)


def _grouped(instances: Sequence[Instance], standing: Standing) -> list[str]:
    reasons = Counter(one.standing_reason for one in instances if one.standing is standing)
    # By count and text, not by arrival: the same instances give the same sentences.
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    sentences = [
        f"{_instances(count)} {standing}: {reason}" for reason, count in ordered[:REASONS_SHOWN]
    ]
    if rest := sum(count for _, count in ordered[REASONS_SHOWN:]):
        sentences.append(f"{_instances(rest)} {standing} for reasons like these")
    return sentences


def _instances(count: int) -> str:
    return "1 instance is" if count == 1 else f"{count} instances are"
