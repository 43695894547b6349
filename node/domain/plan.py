"""What is going to be done with a study, and why not more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from node.domain.identifiers import digest_of


@dataclass(frozen=True)
class ModelSpec:
    """What planning needs to know of a model package.

    Parameters
    ----------
    per_image
        True: each image is a case of its own (radiographs); False: the series is one volume.
    select
        Field → condition, in the language of the rules.
    """

    name: str
    version: str
    digest: str
    per_image: bool
    select: Mapping[str, Any]


@dataclass(frozen=True)
class PlannedRun:
    """One model on one case, with its destinations; frozen when the study is planned.

    Parameters
    ----------
    rule
        Name of the rule that asked for it.
    sop_instance_uids
        The case: one image, or all images of the volume, sorted.
    instance_digests
        Digest of each of them, in the same order: a later version of an instance under
        the same UID is not part of this run.
    inputs_digest
        SHA-256 over `instance_digests` and `frames`.
    priority
        Of the run and its deliveries: higher ones come first.
    latency_budget_s
        Seconds from the complete study to the run's results; None: no budget.
    frames
        Of the one multi-frame image the numbers, from 1, of the frames that are the case; empty:
        all of them.
    volume
        What tells the case from the other volumes of its series, such as ``"EchoTime 30"``;
        empty where it is alone.
    """

    rule: str
    model: str
    model_version: str
    model_digest: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    instance_digests: tuple[str, ...]
    inputs_digest: str
    destinations: tuple[str, ...]
    priority: int = 0
    latency_budget_s: float | None = None
    frames: tuple[int, ...] = ()
    volume: str = ""

    @property
    def key(self) -> str:
        """The same for every run of this model on these inputs: it need not be done twice."""
        return digest_of(
            self.model,
            self.model_version,
            self.model_digest,
            self.series_instance_uid,
            self.inputs_digest,
        )


@dataclass(frozen=True)
class Plan:
    """What will be done with one revision of a study, and why nothing else.

    Parameters
    ----------
    config_digest
        SHA-256 of the configuration the plan was made with.
    not_run
        One sentence for each rule, series or model that was left out.
    late
        Whether a run was left out because its images came late (`late_images`).
    """

    study_instance_uid: str
    revision: int
    config_digest: str
    runs: tuple[PlannedRun, ...]
    not_run: tuple[str, ...]
    late: bool = False
