"""Rules and series → the plan of one revision of a study, and why nothing else is done.

A rule looks at each series and, for models that read single images, at each image. All
series that meet a rule are read: choosing one of them would be silence about the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import ValidationError

from node.config.condition import ConditionValue, check_field, parse_condition
from node.config.fields import COMPUTED_FIELDS
from node.config.model import Rule
from node.domain import Instance, ModelSpec, Plan, PlannedRun, Series, digest_of
from node.plan.late import Earlier, why_late
from node.plan.match import first_failure
from node.plan.series import frames_of, summarise
from node.plan.standing import used_instances
from node.plan.values import series_label
from node.plan.volumes import Divide, VolumeCase, as_one

PRIORITIES: Final = {"routine": 0, "stat": 1}
"""`PlannedRun.priority` by the rule's word for it."""


def plan_study(
    study_instance_uid: str,
    revision: int,
    instances: Sequence[Instance],
    rules: Sequence[Rule],
    models: Mapping[str, ModelSpec],
    config_digest: str,
    earlier: Earlier | None = None,
    divide: Divide = as_one,
) -> Plan:
    """Decide what is done with a study; the same input gives the same plan, in any order.

    Parameters
    ----------
    instances
        All that has been received of the study, in any order, version and standing; only
        what is used is read.
    models
        The packages that can run, by name; a rule's model that is not among them is
        reported in ``not_run``.
    earlier
        What the earlier revisions have come to; None for the first one.
    divide
        Tells the volumes of a series; asked only about series that a rule and a model of
        volumes want, once each.

    Returns
    -------
    Plan
        Runs in the order of rules, models, series and images. A case that two rules ask
        the same model for is run once, for the destinations of both, with the higher priority
        and the shorter latency budget.
    """
    draft = _Draft(instances, earlier, divide)
    if not instances:
        draft.leave_out("the study has no instances")
    used, not_used = used_instances(instances)
    for sentence in not_used:
        draft.leave_out(sentence)
    views: dict[bool, list[Series]] = {}
    for keep_derived in sorted({_names_image_type(rule) for rule in rules}):
        views[keep_derived], left_out = summarise(used, keep_derived=keep_derived)
        for sentence in left_out:
            draft.leave_out(sentence)
    for rule in rules:
        _apply(rule, views[_names_image_type(rule)], models, draft)
    return Plan(
        study_instance_uid=study_instance_uid,
        revision=revision,
        config_digest=config_digest,
        runs=tuple(draft.runs.values()),
        not_run=tuple(draft.not_run),
        late=draft.late,
    )


@dataclass
class _Draft:
    """A plan in the making: one run for each model and case, each sentence once."""

    instances: Sequence[Instance]
    earlier: Earlier | None
    divide: Divide
    runs: dict[tuple[str, str, str], PlannedRun] = field(default_factory=dict)
    not_run: dict[str, None] = field(default_factory=dict)
    late: bool = False
    _divided: dict[tuple[str, ...], tuple[Sequence[VolumeCase], Sequence[str]]] = field(
        default_factory=dict
    )

    def volumes(self, series: Series) -> tuple[Sequence[VolumeCase], Sequence[str]]:
        """Give the volumes of a series, and sentences about what is none of them."""
        key = tuple(image.digest for image in series.instances)
        if key not in self._divided:
            self._divided[key] = self.divide(series)
        return self._divided[key]

    def leave_out(self, sentence: str) -> None:
        """Say once why something is not done."""
        self.not_run[sentence] = None

    def run(self, rule: Rule, model: ModelSpec, series: Series, case: VolumeCase) -> None:
        """Plan a model on a case, or add what the rule asks for to the run there is."""
        run = _run(rule, model, series, case)
        if reason := why_late(run, rule, self.earlier, self.instances):
            self.late = True
            self.leave_out(reason)
            return
        key = (run.model, run.series_instance_uid, run.inputs_digest)
        known = self.runs.setdefault(key, run)
        self.runs[key] = replace(
            known,
            destinations=tuple(dict.fromkeys((*known.destinations, *run.destinations))),
            priority=max(known.priority, run.priority),
            latency_budget_s=_shorter(known.latency_budget_s, run.latency_budget_s),
        )


def _run(rule: Rule, model: ModelSpec, series: Series, case: VolumeCase) -> PlannedRun:
    images = sorted(case.instances, key=lambda image: image.sop_instance_uid)
    digests = sorted(image.digest for image in images)
    return PlannedRun(
        rule=rule.name,
        model=model.name,
        model_version=model.version,
        model_digest=model.digest,
        series_instance_uid=series.series_instance_uid,
        sop_instance_uids=tuple(image.sop_instance_uid for image in images),
        instance_digests=tuple(image.digest for image in images),
        inputs_digest=digest_of(*digests, *map(str, case.frames)),
        destinations=tuple(dict.fromkeys(rule.send_to)),
        priority=PRIORITIES[rule.priority],
        latency_budget_s=rule.latency_budget_s,
        frames=case.frames,
        volume=case.label,
    )


def _shorter(one: float | None, other: float | None) -> float | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _names_image_type(rule: Rule) -> bool:
    """Whether a rule itself says which derived images it wants."""
    return "ImageType" in rule.when


def _apply(
    rule: Rule, series: Sequence[Series], models: Mapping[str, ModelSpec], draft: _Draft
) -> None:
    """Add to the draft what one rule asks for."""
    if not series:
        draft.leave_out(f"{rule.name}: the study has no series of images")
    for name in dict.fromkeys(rule.run):
        if name not in models:
            draft.leave_out(f"{rule.name}: model {name} is not among the packages that can run")
            continue
        select = _select(models[name])
        if isinstance(select, str):
            draft.leave_out(f"{rule.name}: model {name} cannot be used: {select}")
            continue
        for one in series:
            place = f"{rule.name}, {series_label(one.series_instance_uid, one.attributes)}"
            for case in _cases(rule, models[name], select, one, draft):
                if isinstance(case, str):
                    draft.leave_out(f"{place}: {case}")
                else:
                    draft.run(rule, models[name], one, case)


def _cases(
    rule: Rule,
    model: ModelSpec,
    select: Mapping[str, ConditionValue],
    series: Series,
    draft: _Draft,
) -> Iterator[VolumeCase | str]:
    """Yield each case, and the reasons why the others are none."""
    if model.per_image:
        yield from _images(rule, model, select, series)
        return
    written = {name: one for name, one in rule.when.items() if name not in COMPUTED_FIELDS}
    if reason := first_failure(written, series.attributes):
        yield reason
        return
    volumes, refused = draft.volumes(series)
    yield from refused
    for volume in volumes:
        of_volume = {"slices": volume.slices, "spacing_mm": volume.spacing_mm}
        attributes = {
            **series.attributes,
            **{name: value for name, value in of_volume.items() if value is not None},
        }
        reason = _why_not(rule, model, select, attributes)
        if reason is None:
            yield volume
        else:
            yield f"{volume.label}: {reason}" if volume.label else reason


def _images(
    rule: Rule, model: ModelSpec, select: Mapping[str, ConditionValue], series: Series
) -> Iterator[VolumeCase | str]:
    """Yield each image that a model of single images reads, and counted reasons."""
    computed = {name: series.attributes.get(name) for name in COMPUTED_FIELDS}
    reasons: Counter[str] = Counter()
    for image in sorted(series.instances, key=lambda image: image.sop_instance_uid):
        attributes = {**computed, **image.attributes, "SOPClassUID": image.sop_class_uid}
        reason = _why_not(rule, model, select, attributes)
        if reason is None and frames_of(image) > 1:
            reason = f"NumberOfFrames is {frames_of(image)}; the model reads single images"
        if reason is None:
            yield VolumeCase([image])
        else:
            reasons[reason] += 1
    total = len(series.instances)
    for reason, count in reasons.items():
        yield reason if total == 1 else f"{count} of {total} images: {reason}"


def _why_not(
    rule: Rule,
    model: ModelSpec,
    select: Mapping[str, ConditionValue],
    attributes: Mapping[str, Any],
) -> str | None:
    """Say what keeps a model from a case: the rule first, then the package."""
    if reason := first_failure(rule.when, attributes):
        return reason
    if reason := first_failure(select, attributes):
        return f"model {model.name} needs other input: {reason}"
    return None


def _select(model: ModelSpec) -> dict[str, ConditionValue] | str:
    """Check a package's own conditions, or say what is wrong with them."""
    select = {}
    for name, raw in model.select.items():
        if problem := check_field(name):
            return f"select: {problem}"
        try:
            select[name] = parse_condition(raw)
        except ValidationError:
            return f"select: the condition on {name} is not in the language of the rules"
    return select
