"""A kept result → the objects of each destination, in the forms of its profile.

Done when a run has ended, and again for one destination that did not take a form: the next
one of its profile is written then, from the same result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from engines.catalogue import Catalogue
from engines.errors import EngineError
from engines.package import Package
from engines.types import Result
from node.config.model import Config
from node.config.profile import BUILT_IN, Profile
from node.dicom.image import read_image
from node.dicom.volume import read_series
from node.domain import Artifact, ObjectForm, Packing, PlannedRun, ResultContext, ResultKind, Source
from node.encode.base import encode
from node.encode.encoded import Encoded
from node.encode.forms import native_forms, possible_forms
from node.errors import PermanentError
from node.store.acceptance import Acceptance
from node.store.artifacts import FormThere, Replaced
from node.store.delivery import DeliveryRow
from node.store.files import Files, result_folder
from node.store.index import Index, RevisionRow
from node.store.ledger import Ledger
from node.work.cases import model_spec, result_context
from node.work.earlier import predecessors
from node.work.forms import Choice, choose, following
from node.work.product import load_product

REFERS_TO_IT = "written anew: what it refers to was replaced"

log = structlog.get_logger(__name__)


@dataclass
class _Group:
    """Destinations that get the same forms, packed the same way."""

    choices: list[Choice]
    packing: Packing
    destinations: list[str] = field(default_factory=list)

    @property
    def forms(self) -> tuple[ObjectForm, ...]:
        return tuple(choice.form for choice in self.choices)


@dataclass(frozen=True)
class _Case:
    """A result with all that its objects are made of."""

    run: PlannedRun
    run_number: int
    result: Result
    source: Source
    context: ResultContext

    @property
    def folder(self) -> str:
        return result_folder(
            self.context.study_instance_uid, self.context.revision, self.run_number
        )

    def seen_by(self, profile: Profile) -> Profile:
        """What a profile asks for of this source."""
        in_patient = self.source.volume.grid.patient_frame
        return profile if in_patient else profile.for_projections()

    @property
    def possible(self) -> tuple[ObjectForm, ...]:
        """Forms it can be written in; of a plug-in's own type those it writes by itself."""
        if possible_forms.dispatch(type(self.result)) is possible_forms.dispatch(object):
            return tuple(native_forms(self.result, self.source).values())
        return possible_forms(self.result, self.source)


class Writing:
    """Writes the objects of results. Thread-safe: the same result gives the same files.

    Parameters
    ----------
    clock
        Gives the current time, timezone-aware.
    """

    def __init__(
        self,
        config: Config,
        files: Files,
        index: Index,
        ledger: Ledger,
        acceptance: Acceptance,
        catalogue: Catalogue,
        clock: Callable[[], datetime],
    ) -> None:
        self._config = config
        self._files = files
        self._index = index
        self._ledger = ledger
        self._acceptance = acceptance
        self._catalogue = catalogue
        self._clock = clock

    def write(self, study_instance_uid: str, revision: int, run_number: int) -> None:
        """Write the objects of one run for all its destinations, and enter them in the ledger.

        Raises
        ------
        PermanentError
            If the package has changed, or an object cannot be made.
        """
        case = self._case(study_instance_uid, revision, run_number)
        there = self._ledger.replacements.paths(case.run.key, revision)
        if there and all(self._files.path(path).is_file() for path in there):
            return
        made: dict[str, Artifact] = {}
        for group in self._groups(case):
            for artifact in self._written(case, group, len(made)):
                known = made.get(artifact.sop_instance_uid)
                if known is not None:
                    artifact = replace(
                        known,
                        destinations=(*known.destinations, *artifact.destinations),
                        remarks={**known.remarks, **artifact.remarks},
                    )
                made[artifact.sop_instance_uid] = artifact
        if not there:
            # What destinations accept may have changed since: what was entered once holds.
            self._ledger.record_artifacts(list(made.values()), case.run.key, self._clock())

    def replace(self, row: DeliveryRow, reason: str) -> bool:
        """Write the next form of an object for a destination that did not take it.

        A report that refers to it, and still waits, is written anew, too.

        Returns
        -------
        bool
            False if the profile has nothing to replace it by.
        """
        now = self._clock()
        made = self._ledger.replacements.written(row.sop_instance_uid)
        self._acceptance.note_refused(row.destination, row.sop_class_uid, reason, now)
        case = self._case_of(row.study_instance_uid, made.revision, made.run_key)
        if case is None or made.form is None:
            return False
        refused = self._acceptance.refused(row.destination, now)
        profile, kinds = case.seen_by(self._profile(row.destination)), case.context.kinds
        forms = following(profile, made.form, kinds, case.possible)
        form = next((one for one in forms if one.sop_class_uid not in refused), None)
        if form is None:
            return False
        there = self._ledger.replacements.forms_at(
            row.destination, row.study_instance_uid, made.run_key
        )
        choices = [Choice(form, made.form, reason)]
        reports = _that_refer_to(made.form, there)
        if reports:
            choices.append(Choice(ObjectForm.SR_3D, ObjectForm.SR_3D))
        gone = {made.form, *(choice.form for choice in choices)}
        beside = [one.form for one in there if one.form is not None and one.form not in gone]
        group = _Group(choices, profile.packing, [row.destination])
        artifacts = list(self._written(case, group, None, beside=tuple(dict.fromkeys(beside))))
        by = {artifact.form: artifact.sop_instance_uid for artifact in reversed(artifacts)}
        replaced = [Replaced(row.sop_instance_uid, by.get(form), reason)] + [
            Replaced(one.sop_instance_uid, by.get(ObjectForm.SR_3D), REFERS_TO_IT)
            for one in reports
            # Written already when another part of the same segmentation was replaced.
            if one.sop_instance_uid != by.get(ObjectForm.SR_3D)
        ]
        self._ledger.replacements.record(
            replaced, row.destination, artifacts, made.run_key, row.revision, now
        )
        log.warning(
            "object.replaced",
            destination=row.destination,
            sop_instance_uid=row.sop_instance_uid,
            remark=choices[0].remark,
        )
        return True

    def package(self, run: PlannedRun) -> Package:
        """The package of a run, as it was planned.

        Raises
        ------
        PermanentError
            If it is not there any more, or has changed.
        """
        try:
            package = self._catalogue.get(run.model, run.model_version)
        except EngineError as error:
            raise PermanentError(str(error)) from error
        if package.digest != run.model_digest:
            raise PermanentError(
                f"{run.model} {run.model_version} has changed since the plan was made: digest "
                f"{package.digest[:12]}, planned {run.model_digest[:12]}; give a changed package "
                "a new version"
            )
        return package

    def source(self, run: PlannedRun) -> Source:
        """Read the images of a run."""
        paths = [self._files.instance(digest) for digest in run.instance_digests]
        if model_spec(self.package(run)).per_image:
            return read_image(paths[0])
        return read_series(paths, run.frames)

    def _case(self, study_instance_uid: str, revision: int, run_number: int) -> _Case:
        row = self._index.revision(study_instance_uid, revision)
        if row is None or row.plan is None:
            raise PermanentError(f"revision {revision} of {study_instance_uid} has no plan")
        return self._opened(row, row.plan.runs[run_number], run_number)

    def _case_of(self, study_instance_uid: str, revision: int, run_key: str) -> _Case | None:
        row = self._index.revision(study_instance_uid, revision)
        for number, run in enumerate(row.plan.runs if row is not None and row.plan else ()):
            if run.key == run_key and row is not None:
                return self._opened(row, run, number)
        return None  # not of a model: the study status

    def _opened(self, row: RevisionRow, run: PlannedRun, run_number: int) -> _Case:
        folder = result_folder(row.study_instance_uid, row.revision, run_number)
        result, provenance = load_product(self._files.path(f"{folder}/result.npz"))
        package = self.package(run)
        context = result_context(self._config, package, row, run, run_number, provenance)
        superseded = predecessors(
            self._index, self._ledger, row.study_instance_uid, row.revision, run
        )
        context = replace(context, predecessors=superseded)
        return _Case(run, run_number, result, self.source(run), context)

    def _groups(self, case: _Case) -> list[_Group]:
        """Destinations that get the same, in the order of the rule."""
        groups: dict[tuple[tuple[ObjectForm, ...], Packing], _Group] = {}
        now = self._clock()
        for name in case.run.destinations:
            profile = case.seen_by(self._profile(name))
            refused = self._acceptance.refused(name, now)
            choices = choose(profile, case.context.kinds, case.possible, refused)
            group = _Group(choices, profile.packing)
            groups.setdefault((group.forms, group.packing), group).destinations.append(name)
        return list(groups.values())

    def _profile(self, destination: str) -> Profile:
        # One that has gone since the plan was made: the senders say why it gets nothing.
        known = self._config.destinations.get(destination)
        return BUILT_IN["full"] if known is None else self._config.profile(known.profile)

    def _written(
        self,
        case: _Case,
        group: _Group,
        first_number: int | None,
        beside: Sequence[ObjectForm] = (),
    ) -> Iterator[Artifact]:
        """Write the objects of a group; `first_number` None: beside those that are there."""
        if not group.choices:
            return
        remarks = {choice.form: choice.remark for choice in group.choices}
        encoded = encode(
            case.result,
            case.source,
            case.context,
            group.forms,
            beside=beside,
            packing=group.packing,
        )
        for number, one in enumerate(encoded, first_number or 0):
            uid = str(one.dataset.SOPInstanceUID)
            name = one.form.lower().replace("_", "-")
            # The UID tells them apart where objects are added later.
            prefix = f"{uid.rpartition('.')[2][-12:]}" if first_number is None else f"{number}"
            path, remark = f"{case.folder}/{prefix}-{name}.dcm", remarks[one.form]
            artifact = self._artifact(case, one, path, group.destinations)
            if remark:
                artifact = replace(artifact, remarks=dict.fromkeys(group.destinations, remark))
            yield artifact

    def _artifact(
        self, case: _Case, encoded: Encoded, path: str, destinations: Sequence[str]
    ) -> Artifact:
        digest = hashlib.sha256()
        self._files.write(path, _hashed(encoded.chunks(), digest))
        return Artifact(
            sop_instance_uid=str(encoded.dataset.SOPInstanceUID),
            sop_class_uid=str(encoded.dataset.SOPClassUID),
            series_instance_uid=str(encoded.dataset.SeriesInstanceUID),
            study_instance_uid=case.context.study_instance_uid,
            revision=case.context.revision,
            kind=encoded.kind,
            model=f"{case.run.model}@{case.run.model_version}",
            path=path,
            sha256=digest.hexdigest(),
            destinations=tuple(destinations),
            priority=case.run.priority,
            form=encoded.form,
        )


def _that_refer_to(form: ObjectForm, there: Sequence[FormThere]) -> list[FormThere]:
    """Reports that wait and refer to an object of this form."""
    if form.kind is not ResultKind.SEG:
        return []
    return [one for one in there if one.form is ObjectForm.SR_3D and one.waits]


def _hashed(chunks: Iterable[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    """Hash what passes, so that an object need not be in memory as a whole."""
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
