"""What planning needs to know of a package, and what its objects say about their making."""

from __future__ import annotations

from engines.catalogue import Catalogue
from engines.package import Package
from engines.types import Provenance
from node import __version__
from node.config.model import Config
from node.domain import ModelSpec, PlannedRun, ResultContext, ResultKind, derived_uid
from node.store.index import RevisionRow

SERIES_NUMBERS_PER_RUN = 10


def model_specs(catalogue: Catalogue) -> dict[str, ModelSpec]:
    """The newest version of each package, as planning needs it."""
    names = {package.name for package in catalogue.packages}
    return {name: model_spec(catalogue.get(name)) for name in sorted(names)}


def model_spec(package: Package) -> ModelSpec:
    """What planning needs to know of a package."""
    manifest = package.manifest
    return ModelSpec(
        name=package.name,
        version=package.version,
        digest=package.digest,
        per_image=manifest.model.ndim == 2 and manifest.infer.mode == "whole",
        select=manifest.select,
    )


def result_context(
    config: Config,
    package: Package,
    revision: RevisionRow,
    run: PlannedRun,
    run_number: int,
    provenance: Provenance,
) -> ResultContext:
    """Gather what the objects of one run say besides the result; no clock is read."""
    results = config.results
    manifest = package.manifest
    return ResultContext(
        study_instance_uid=revision.study_instance_uid,
        revision=revision.revision,
        run_key=run.key,
        made_at=revision.complete_at,
        provenance=provenance,
        kinds=tuple(ResultKind(kind) for kind in manifest.output.dicom),
        title=manifest.metadata.title,
        intended_use=manifest.metadata.intended_use,
        content_qualification=manifest.metadata.content_qualification,
        series_description=_described(manifest.output.series_description, run.volume),
        prefix=results.prefix,
        series_number=results.series_number_base + SERIES_NUMBERS_PER_RUN * run_number,
        node_version=__version__,
        config_digest="" if revision.plan is None else revision.plan.config_digest,
        institution_name=results.institution_name,
        device_serial_number=results.device_serial_number,
        device_uid=device_uid(config),
    )


def device_uid(config: Config) -> str:
    """UID of this installation, the same as long as its AE title and serial number are."""
    serial_number = config.results.device_serial_number
    return derived_uid("device", config.receive.ae_title, serial_number)


def _described(series_description: str, volume: str) -> str:
    """Say which volume of the series a result is of, where there are several."""
    return f"{series_description}, {volume}" if volume else series_description
