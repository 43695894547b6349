"""Where results go: a class for each kind of destination, told apart by the key ``kind``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from node.config.section import Section
from node.config.values import URL_PATTERN, AETitle, Name, Port

DIMSE: Final = "dimse"
DICOMWEB: Final = "dicomweb"
KINDS: Final = (DIMSE, DICOMWEB)
"""Values of ``kind``; a destination that does not say is the first one."""


class Retry(Section):
    """How long and how often a delivery is tried again while its destination cannot take it."""

    first_s: Annotated[float, Field(gt=0)] = Field(
        default=5.0, description="Seconds before the second try; doubles with each further one."
    )
    longest_s: Annotated[float, Field(gt=0)] = Field(
        default=900.0,
        description="Longest wait between two tries, seconds; each wait is shortened by chance, by "
        "up to a fifth, so that nodes do not call in step.",
    )
    give_up_after_h: Annotated[float, Field(gt=0)] = Field(
        default=72.0, description="Hours after which a delivery that still waits counts as failed."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.longest_s < self.first_s:
            raise ValueError(
                f"longest_s ({self.longest_s:g}) is shorter than first_s ({self.first_s:g})"
            )
        return self


class DestinationTls(Section):
    """TLS to a destination: whose certificates are trusted there, and which one the node shows."""

    ca: Path = Field(
        description="PEM file with the authorities that sign the destination's certificate."
    )
    certificate: Path | None = Field(
        default=None,
        description="PEM file with the node's certificate chain, for mutual TLS; left out: the "
        "node shows none.",
    )
    key: Path | None = Field(
        default=None, description="PEM file with its private key, readable by the node only."
    )
    server_name: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None,
        description="Name that the destination's certificate must carry; left out: its host.",
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together; one of them is missing")
        return self


class _AnyDestination(Section):
    """What every kind of destination has."""

    profile: Name = Field(
        default="full",
        description="What its viewers show: full (everything), ohif, orthanc-webviewer, weasis, "
        "plain (secondary captures only), or one of `profiles`.",
    )
    prove_within_s: Annotated[float, Field(gt=0, le=604800)] = Field(
        default=3600.0,
        description="Seconds the destination has to prove that it holds what it was sent. What is "
        "unproven then is sent once more; what stays unproven raises an alarm.",
    )
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=30.0, description="Seconds to wait for a connection or an answer."
    )
    max_associations: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1,
        description="Associations (DICOMweb: connections) the node opens to it at the same time; "
        "objects keep their order only with 1.",
    )
    retry: Retry = Field(default=Retry(), description="When to try again.")


class DimseDestination(_AnyDestination):
    """An application entity that results are sent to by C-STORE."""

    kind: Literal["dimse"] = Field(default=DIMSE, description="dimse: C-STORE.")
    ae_title: AETitle = Field(description="AE title of the destination (called AE title).")
    host: Annotated[str, Field(min_length=1)] = Field(description="IP address or host name.")
    port: Port = Field(default=104, description="TCP port.")
    calling_ae_title: AETitle | None = Field(
        default=None, description="AE title the node uses there; left out: receive.ae_title."
    )
    tls: DestinationTls | None = Field(default=None, description="TLS; left out: plain TCP.")
    proof: Literal["storage_commitment", "query", "none"] = Field(
        default="none",
        description="How the destination proves that it holds what it was sent: by storage "
        "commitment (where it does not answer, by a query), by a query (C-FIND at IMAGE level), or "
        "none: its answer to the C-STORE is all there is.",
    )


class DicomwebDestination(_AnyDestination):
    """An origin server that results are sent to by STOW-RS."""

    kind: Literal["dicomweb"] = Field(description="dicomweb: STOW-RS.")
    url: Annotated[str, Field(pattern=URL_PATTERN, max_length=1024)] = Field(
        description="Base URL of the DICOMweb services, without /studies; https or http."
    )
    user: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None, description="User of HTTP basic authentication; needs `password_file`."
    )
    password_file: Path | None = Field(
        default=None, description="File with the password of `user`, read at each request."
    )
    bearer_file: Path | None = Field(
        default=None,
        description="File with a bearer token, read at each request: it may be renewed any time.",
    )
    headers_file: Path | None = Field(
        default=None,
        description="File with further header lines (Name: value), such as an API key, read at "
        "each request.",
    )
    tls: DestinationTls | None = Field(
        default=None,
        description="For https: whom to trust and what to show; left out: the system's "
        "authorities, and no certificate.",
    )
    proof: Literal["query", "none"] = Field(
        default="none",
        description="How the destination proves that it holds what it was sent: by a query "
        "(QIDO-RS), or none: its answer to the STOW-RS is all there is.",
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file go together; one of them is missing")
        if self.user is not None and self.bearer_file is not None:
            raise ValueError("basic authentication and a bearer token exclude each other")
        return self


def kind_of(value: Any) -> str:
    """Tell the kind of a destination, as it is written or made; DIMSE where nothing says."""
    kind = value.get("kind", DIMSE) if isinstance(value, dict) else getattr(value, "kind", DIMSE)
    return kind if isinstance(kind, str) else str(kind)


Destination: TypeAlias = Annotated[
    Annotated[DimseDestination, Tag(DIMSE)] | Annotated[DicomwebDestination, Tag(DICOMWEB)],
    Discriminator(kind_of),
]
