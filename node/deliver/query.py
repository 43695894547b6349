"""C-FIND at IMAGE level: which of our objects an archive really holds (PS3.4 Annex C).

A rare and small message, so pynetdicom has all of it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from pydicom.dataset import Dataset
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
)

from node.config.destination import DimseDestination
from node.deliver.rare import rare_association
from node.deliver.wire import name_of
from node.errors import TransientError

MOST_INSTANCES: Final = 20_000
"""Of one series; an archive that lists more is asked again later, and then raises the alarm."""
PENDING: Final = (0xFF00, 0xFF01)
SUCCESS: Final = 0x0000


def held(
    destination: DimseDestination,
    calling_ae_title: str,
    study_instance_uid: str,
    series: Collection[str],
) -> set[str]:
    """Ask which instances of these series an archive holds.

    Returns
    -------
    set of str
        Their SOP Instance UIDs.

    Raises
    ------
    Away
        If there is no association to be had.
    TransientError
        If the archive does not answer, or fails.
    PermanentError
        If it does not accept the Study Root Query/Retrieve Information Model - FIND.
    """
    model = StudyRootQueryRetrieveInformationModelFind
    with rare_association(destination, calling_ae_title, [model]) as association:
        return {
            uid
            for series_instance_uid in sorted(series)
            for uid in _instances(
                association, name_of(destination), study_instance_uid, series_instance_uid
            )
        }


def _instances(
    association: Association, name: str, study_instance_uid: str, series_instance_uid: str
) -> list[str]:
    keys = Dataset()
    keys.QueryRetrieveLevel = "IMAGE"
    keys.StudyInstanceUID = study_instance_uid
    keys.SeriesInstanceUID = series_instance_uid
    keys.SOPInstanceUID = ""
    found = []
    status = None
    for answer, identifier in association.send_c_find(
        keys, StudyRootQueryRetrieveInformationModelFind
    ):
        status = answer.get("Status")
        if status in PENDING and identifier is not None:
            found.append(str(identifier.get("SOPInstanceUID", "")))
        if len(found) > MOST_INSTANCES:
            association.abort()
            raise TransientError(f"{name} lists more than {MOST_INSTANCES} instances of a series")
    if status is None:
        raise TransientError(f"{name} did not answer the query")
    if status != SUCCESS:
        raise TransientError(f"{name} answered the query with 0x{status:04X}")
    return found
