"""The section `reports`: how reports come in, and what becomes of what they say."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from node.config.section import Section
from node.config.tls import Tls
from node.config.values import URL_PATTERN, Name, Port


class Hl7Peer(Section):
    """One system that may send HL7 messages."""

    host: Annotated[str, Field(min_length=1)] = Field(
        description="IP address or host name it connects from."
    )
    sending_application: Annotated[str, Field(min_length=1, max_length=180)] | None = Field(
        default=None, description="MSH-3, first component; left out: any."
    )
    sending_facility: Annotated[str, Field(min_length=1, max_length=180)] | None = Field(
        default=None, description="MSH-4, first component; left out: any."
    )


class Hl7(Section):
    """The MLLP listener, which takes ORU^R01."""

    host: Annotated[str, Field(min_length=1)] = Field(
        default="0.0.0.0",  # noqa: S104 - a RIS connects from another host; accept_from decides
        description="Address to listen on; 0.0.0.0 is every IPv4 interface.",
    )
    port: Port = Field(default=2575, description="TCP port to listen on (IANA hl7: 2575).")
    accept_from: tuple[Hl7Peer, ...] = Field(
        default=(), description="Systems that may send, nobody else; empty: nobody."
    )
    tls: Tls | None = Field(default=None, description="Mutual TLS; left out: plain TCP.")
    max_connections: Annotated[int, Field(ge=1, le=10000)] = Field(
        default=64,
        description="Connections open at the same time; for one more the one that has been "
        "silent for longest is closed.",
    )
    max_message_bytes: Annotated[int, Field(ge=1024, le=268435456)] = Field(
        default=16777216, description="Largest message taken, bytes."
    )
    message_timeout_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=30.0,
        description="Seconds from the first byte of a message to its last, and for a TLS "
        "handshake or for an answer to be taken.",
    )
    idle_timeout_s: Annotated[float, Field(gt=0, le=604800)] = Field(
        default=86400.0, description="A connection without a message for this long is closed."
    )


class FindingThreshold(Section):
    """From which value a model's result says that a finding is there, or is not."""

    present_from: Annotated[float, Field(ge=0)] = Field(
        description="This much or more: there. In the measure of the package's finding."
    )
    absent_below: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="Less than this: not there; between the two: not comparable. Left out: the "
        "same as present_from.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.absent_below is not None and self.absent_below > self.present_from:
            raise ValueError(
                f"absent_below ({self.absent_below:g}) is above present_from "
                f"({self.present_from:g})"
            )
        return self


class Notify(Section):
    """A web address that is told of each new discordance, without anything about a patient."""

    url: Annotated[str, StringConstraints(max_length=2048, pattern=URL_PATTERN)] = Field(
        description="http:// or https:// address that takes a POST of JSON."
    )
    timeout_s: Annotated[float, Field(gt=0, le=300)] = Field(
        default=10.0, description="Seconds to wait for its answer; it is tried again for 3 days."
    )


class Drift(Section):
    """When a model contradicts the reports more often than it used to."""

    window_studies: Annotated[int, Field(ge=10, le=100000)] = Field(
        default=100, description="The newest comparable studies of a model that are looked at."
    )
    baseline_studies: Annotated[int, Field(ge=10, le=100000)] = Field(
        default=300, description="The comparable studies before them, which they are held against."
    )
    alarm_from_z: Annotated[float, Field(gt=0, le=10)] = Field(
        default=3.0,
        description="Alarm where the share of discordant studies is higher by so many standard "
        "errors (two-proportion z).",
    )


class Reports(Section):
    """Reports: how they come in, and where what they say goes."""

    hl7: Hl7 | None = Field(
        default=None, description="Reports as HL7 version 2 over MLLP; left out: none are taken."
    )
    send_findings_to: tuple[Name, ...] = Field(
        default=(),
        description="Destinations that get each report's findings as a structured report.",
    )
    send_discordances_to: tuple[Name, ...] = Field(
        default=(),
        description="Destinations that get a structured report of each study whose report and "
        "results contradict each other.",
    )
    notify: Notify | None = Field(
        default=None, description="Who is told of a new discordance; left out: nobody."
    )
    drift: Drift = Field(default=Drift(), description="When agreement counts as drifting.")
