"""The configuration as an administrator writes it: every key, its default and its meaning.

Nothing here opens a file or a socket.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from node.config.condition import ConditionValue, FieldName
from node.config.destination import Destination
from node.config.profile import BUILT_IN, Profile
from node.config.reports import FindingThreshold, Reports
from node.config.section import Section
from node.config.tls import Tls as Tls
from node.config.values import AETitle, Backends, Name, Port, Uid


class Peer(Section):
    """One application entity that may send to the node."""

    ae_title: AETitle = Field(description="Calling AE title the peer uses.")
    host: str | None = Field(
        default=None,
        min_length=1,
        description="IP address or host name it connects from; left out: any host.",
    )
    certificate_name: Annotated[str, Field(min_length=1, max_length=255)] | None = Field(
        default=None,
        description="DNS name (or, without any, common name) that its TLS certificate must carry; "
        "left out: any certificate signed by receive.tls.ca.",
    )
    max_associations: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="Associations it may have open at the same time; left out: only "
        "receive.max_associations limits it.",
    )


class Receive(Section):
    """The storage SCP: who may send what, and when a study counts as complete."""

    ae_title: AETitle = Field(
        default="WETREAD", description="AE title of the node; peers must call it by this name."
    )
    host: Annotated[str, Field(min_length=1)] = Field(
        default="0.0.0.0",  # noqa: S104 - a PACS connects from another host; accept_from decides who
        description="Address to listen on; 0.0.0.0 is every IPv4 interface.",
    )
    port: Port = Field(default=11112, description="TCP port to listen on (IANA dicom: 11112).")
    accept_from: tuple[Peer, ...] = Field(
        default=(), description="Peers that may connect, nobody else; empty: nobody."
    )
    tls: Tls | None = Field(default=None, description="Mutual TLS; left out: plain TCP.")
    quiet_period_s: Annotated[float, Field(gt=0, le=86400)] = Field(
        default=60.0,
        description="A study with no new instance for this many seconds counts as complete.",
    )
    private_sop_classes: tuple[Uid, ...] = Field(
        default=(),
        description="UIDs of private storage SOP classes to accept besides the standard's.",
    )
    processes: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1,
        description="Receiver processes behind the one port; more than one pays only beyond "
        "what one CPU core can take.",
    )
    durability: Literal["full", "relaxed"] = Field(
        default="full",
        description="What Success means. full: data and directory entry are synced to disk. "
        "relaxed: they survive a crash of the node, but not a power cut of the machine.",
    )
    journal_bytes: Annotated[int, Field(ge=0)] = Field(
        default=1073741824,
        description="Size of the journal of each receiver process, bytes, at most a 64th of the "
        "disk: data sets are written to it at first, and to files of their own as soon as there "
        "is time. 0: to files at once, which takes longer with durability full.",
    )
    duplicate_uid: Literal["last", "first", "quarantine"] = Field(
        default="last",
        description="What counts when other bytes come under a SOP Instance UID that is there: "
        "the last version, the first one, or the first until an administrator releases the "
        "other. All versions are kept.",
    )
    max_associations: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=20,
        description="Associations open at the same time, of all receiver processes together; one "
        "more is rejected as transient.",
    )
    max_pdu_bytes: Annotated[int, Field(ge=4096, le=1048576)] = Field(
        default=262144, description="Largest PDU the node offers to receive, bytes."
    )
    max_object_bytes: Annotated[int, Field(ge=1048576)] = Field(
        default=4294967296, description="Largest data set the node takes, bytes."
    )
    acse_timeout_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=30.0,
        description="Seconds a caller has from its connection to the end of its association "
        "request, TLS handshake included.",
    )
    network_timeout_s: Annotated[float, Field(gt=0, le=3600)] = Field(
        default=60.0,
        description="An association with no traffic, or with an unfinished PDU, for this many "
        "seconds is aborted.",
    )


class Rule(Section):
    """Which series a model reads, and where its results go."""

    name: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="Shown wherever the rule's decision is explained."
    )
    when: dict[FieldName, ConditionValue] = Field(
        description="Field → condition; a series is read when every one of them holds. Fields are "
        "DICOM keywords and computed ones such as `slices` and `spacing_mm`."
    )
    run: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="Model packages to run, by name."
    )
    send_to: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="Destinations of the results, by name."
    )
    priority: Literal["stat", "routine"] = Field(
        default="routine",
        description="stat: its studies are read, and its results sent, before those of other "
        "rules.",
    )
    latency_budget_s: Annotated[float, Field(gt=0, le=86400)] | None = Field(
        default=None,
        description="Seconds from a complete study to its results, their delivery not counted. "
        "Among rules of one priority the study whose budget ends first is read first; one that "
        "takes longer is reported. Left out: nothing is reported, and it queues as with 3600.",
    )
    findings: dict[Name, FindingThreshold] = Field(
        default={},
        description="Concept → from which value of a model's result a finding counts as there, "
        "when results are held against reports; instead of what the package says.",
    )
    late_images: Literal["rerun", "mark"] = Field(
        default="rerun",
        description="When images come after a study was complete. rerun: read again with them, as "
        "a new revision. mark: keep the results there are, and call the study late.",
    )


class Storage(Section):
    """How full the disk may get before the node refuses new instances."""

    min_free_percent: Annotated[float, Field(ge=0, le=50)] = Field(
        default=5.0,
        description="With less of data_dir's file system free, C-STORE is refused with 0xA700 "
        "(out of resources), per cent.",
    )
    min_free_inodes_percent: Annotated[float, Field(ge=0, le=50)] = Field(
        default=2.0, description="The same for its inodes, per cent."
    )


class Work(Section):
    """How much is done at the same time."""

    studies_at_once: Annotated[int, Field(ge=1, le=64)] = Field(
        default=2, description="Studies in work at the same time, per work process."
    )
    lanes: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1,
        description="Models that run at the same time on the CPU; a GPU runs one at a time.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="CPU threads of each lane; left out: all cores, shared equally.",
    )
    memory_mb: Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Memory that loaded models may take together, MiB; the one unused for longest "
        "makes room. Left out: half of the machine's, or as much as the GPU has.",
    )
    backend: Backends = Field(
        default=("onnx",),
        description="Engines that run the models, the preferred one first; what cannot run here is "
        "passed over. Such as `onnx`, `tensorrt@cuda:1`, `kserve@grpc://HOST:8001`; one needs no "
        "list.",
    )


class Results(Section):
    """How results are marked."""

    prefix: Annotated[str, Field(min_length=1, max_length=16)] = Field(
        default="AI", description="First word of every SeriesDescription the node writes."
    )
    series_number_base: Annotated[int, Field(ge=1, le=99999)] = Field(
        default=9000, description="SeriesNumber of the first result series."
    )
    study_status: Literal["all", "rules", "none"] = Field(
        default="all",
        description="Who gets the report that says of each study what was done with it and what "
        "was not. all: every destination. rules: those of the rules that had something read. "
        "none: nobody.",
    )
    announce_studies: bool = Field(
        default=False,
        description="Also send that report as soon as a study is planned, with everything pending.",
    )
    institution_name: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="InstitutionName of the node's equipment; left out: the study's."
    )
    device_serial_number: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        default="1", description="DeviceSerialNumber of this installation."
    )


class Web(Section):
    """The status page: read only, and without a login."""

    host: Annotated[str, Field(min_length=1)] = Field(
        default="127.0.0.1", description="Address to listen on; keep it local or behind a proxy."
    )
    port: Port = Field(default=8080, description="TCP port of the status page and of /metrics.")
    show_report_text: bool = Field(
        default=False,
        description="Show the words of a report that a finding was read from. Whoever reaches the "
        "page reads them.",
    )


class Log(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe level that is logged."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, JSON elsewhere."
    )


class Config(Section):
    """The whole configuration file."""

    data_dir: Path = Field(
        default=Path("/var/lib/wetread"),
        description="Everything the node keeps is under this folder.",
    )
    database: str = Field(
        default="sqlite",
        description="sqlite (a file in data_dir) or a postgresql+psycopg:// URL for several hosts.",
    )
    receive: Receive = Field(default=Receive(), description="The storage SCP.")
    storage: Storage = Field(default=Storage(), description="When the disk counts as full.")
    destinations: Annotated[dict[Name, Destination], Field(min_length=1)] = Field(
        description="Where results go, by a name of your choice."
    )
    profiles: dict[Name, Profile] = Field(
        default={}, description="Viewer profiles of your own, by a name of your choice."
    )
    models_dir: Path = Field(
        default=Path("/opt/wetread/models"), description="Folder that holds the model packages."
    )
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)] = Field(
        description="Which series which model reads; every rule that holds is carried out."
    )
    work: Work = Field(default=Work(), description="How much is done at the same time.")
    results: Results = Field(default=Results(), description="How results are marked.")
    reports: Reports | None = Field(
        default=None,
        description="Reading of radiology reports, and holding them against the models' results. "
        "Left out: no report is read.",
    )
    web: Web = Field(default=Web(), description="The status page.")
    log: Log = Field(default=Log(), description="What is logged, and how.")

    def profile(self, name: str) -> Profile:
        """A viewer profile, one of its own or a built-in one."""
        return self.profiles.get(name) or BUILT_IN[name]

    @field_validator("database")
    @classmethod
    def _database_is_supported(cls, value: str) -> str:
        if value != "sqlite" and not re.match(r"^postgresql\+psycopg://\S+$", value):
            raise ValueError("expected sqlite or postgresql+psycopg://USER@HOST/NAME")
        return value
