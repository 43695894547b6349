"""What is fuzzed, from which first inputs, and how often of a million."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz import destination, door, header, report


@dataclass(frozen=True)
class Target:
    """One check and what it starts from.

    Parameters
    ----------
    check
        Raises on a finding; says whether the input was understood.
    seeds
        Builds well-formed inputs.
    share
        Of all inputs; what is slow gets fewer.
    """

    check: Callable[[bytes], bool]
    seeds: Callable[[], list[bytes]]
    share: float


TARGETS = {
    "file": Target(header.check_header, header.files, 0.1),
    "data set": Target(header.check_data_set, header.data_sets, 0.1),
    "image of a series": Target(header.check_likeness, header.of_a_series, 0.1),
    "association request": Target(door.check_request, door.requests, 0.05),
    "PDU stream": Target(door.check_stream, door.streams, 0.3),
    "command set": Target(door.check_command, door.commands, 0.2),
    "storage commitment": Target(door.check_commitment, door.commitments, 0.05),
    "association accepted": Target(destination.check_accept, destination.accepts, 0.05),
    "association rejected": Target(destination.check_reject, destination.rejects, 0.05),
    "MLLP stream": Target(report.check_blocks, report.blocks, 0.05),
    "HL7 message": Target(report.check_message, report.messages, 0.05),
    "report file": Target(report.check_file, report.files, 0.02),
    "response": Target(destination.check_response, destination.responses, 0.15),
}
