"""The status site: read only, without a login, the same content as `wetread studies`.

It shows UIDs, states, reasons and times; the index has nothing else about a patient.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from threading import Event
from typing import Any, TypeAlias

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.config.model import Web
from node.domain import ENDED, StudyState
from node.errors import ConfigError
from node.metrics import COUNTERS_VARIABLE
from node.store.index import Index
from node.store.lane import LaneInfo
from node.store.ledger import Ledger
from node.store.quarantine import Quarantine
from node.web.collector import StateCollector
from node.web.pages import Pages
from node.web.report_collector import ReportCollector
from node.web.reports import ReportView

log = structlog.get_logger(__name__)

STUDIES_SHOWN = 100
REFRESH_S = 10
QUARANTINED_READ = 1000
REASONS_SHOWN = 5
SHUTDOWN_S = 5

NO_REPORTS: Mapping[str, Any] = {"reports": [], "comparisons": [], "discordances": []}

Lane: TypeAlias = Callable[[], LaneInfo | None]


class Site:
    """The answers of the status site.

    Parameters
    ----------
    index, ledger, quarantine
        Only read.
    pages
        Renders the templates.
    lane
        Says what runs the models, or None where nothing has yet.
    reports
        None where the node reads no reports.
    """

    def __init__(
        self,
        index: Index,
        ledger: Ledger,
        quarantine: Quarantine,
        pages: Pages,
        lane: Lane,
        reports: ReportView | None,
    ) -> None:
        self._lane = lane
        self._reports = reports
        self._index = index
        self._ledger = ledger
        self._quarantine = quarantine
        self._pages = pages
        # Not the global registry: the counters of the other roles come from their files.
        self._registry = CollectorRegistry()
        self._registry.register(StateCollector(index, ledger, quarantine))
        if reports is not None:
            self._registry.register(
                ReportCollector(reports.reports, reports.discordances, reports.limits)
            )
        if COUNTERS_VARIABLE in os.environ:
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]

    def studies(self, request: Request) -> Response:
        """The studies that received something last."""
        counts = self._index.counts_by_state()
        return self._pages.respond(
            request,
            "studies.html",
            refresh_s=REFRESH_S,
            studies=self._index.list_studies(STUDIES_SHOWN),
            counts={state: counts[state] for state in StudyState if state in counts},
            total=sum(counts.values()),
            quarantined=self._quarantine.counts(),
            destinations=self._ledger.outbox.summaries(),
            proofs=self._ledger.proofs.by_destination(),
            lane=self._lane(),
            discordances=None if self._reports is None else self._reports.open_count(),
        )

    def discordances(self, request: Request) -> Response:
        """Where reports and models contradict each other."""
        if self._reports is None:
            raise HTTPException(404, "This node reads no reports.")
        return self._reports.work_list(self._pages, request)

    def study(self, request: Request) -> Response:
        """One study: its revisions with plan, steps and deliveries."""
        uid = request.path_params["study_instance_uid"]
        study = self._index.study(uid)
        if study is None:
            raise HTTPException(404, f"No study {uid} was received.")
        return self._pages.respond(
            request,
            "study.html",
            refresh_s=None if study.state in ENDED else REFRESH_S,
            study=study,
            quarantined=self._quarantine.counts().get(uid, 0),
            quarantine_reasons=self._quarantine_reasons(uid),
            returned=self._index.returned_count(uid),
            revisions=[
                {
                    "row": row,
                    "steps": self._ledger.steps(uid, row.revision),
                    "deliveries": self._ledger.outbox.explained(
                        self._ledger.deliveries(uid, row.revision)
                    ),
                }
                for row in reversed(self._index.revisions(uid))
            ],
            **NO_REPORTS if self._reports is None else self._reports.of_study(uid),
        )

    def _quarantine_reasons(self, study_instance_uid: str) -> list[tuple[str, int]]:
        """Reasons with how often each was found, the most frequent first."""
        rows = self._quarantine.list(study_instance_uid, QUARANTINED_READ)
        return Counter(row.reason for row in rows).most_common(REASONS_SHOWN)

    def health(self, _request: Request) -> Response:
        """200 as long as the database answers."""
        try:
            self._index.counts_by_state()
        except SQLAlchemyError as error:
            log.warning("database.unreachable", error=type(error).__name__)
            return JSONResponse({"database": "does not answer"}, status_code=503)
        return JSONResponse({"database": "answers"})

    def metrics(self, _request: Request) -> Response:
        """Studies and deliveries by state, in Prometheus' text format."""
        return Response(
            generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    def refused(self, request: Request, error: Exception) -> Response:
        """Answer a request for something that is not here."""
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
        return self._pages.respond(
            request,
            "error.html",
            status_code=error.status_code,
            headers=error.headers,
            message=error.detail,
        )

    def no_database(self, request: Request, error: Exception) -> Response:
        """Answer while the database does not; its message may hold its address and is kept out."""
        log.error("database.unreachable", error=type(error).__name__)
        return self._pages.respond(
            request, "error.html", status_code=503, message="The database does not answer."
        )


class ExtraHeaders:
    """Puts the same headers on every response.

    Parameters
    ----------
    app
        The application inside.
    headers
        By name.
    """

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def build(
    index: Index,
    ledger: Ledger,
    quarantine: Quarantine,
    lane: Lane = lambda: None,
    reports: ReportView | None = None,
) -> Starlette:
    """Make the ASGI application.

    Its addresses are ``/``, ``/studies/{uid}``, ``/discordances``, ``/healthz``, ``/metrics``.
    """
    pages = Pages()
    site = Site(index, ledger, quarantine, pages, lane, reports)
    headers = {
        "Content-Security-Policy": (
            f"default-src 'none'; style-src {pages.style_source}; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",  # the address holds a Study Instance UID
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    app = Starlette(
        routes=[
            Route("/", site.studies),
            Route("/studies/{study_instance_uid}", site.study),
            Route("/discordances", site.discordances),
            Route("/healthz", site.health),
            Route("/metrics", site.metrics),
        ],
        middleware=[Middleware(ExtraHeaders, headers=headers)],
        exception_handlers={HTTPException: site.refused, SQLAlchemyError: site.no_database},
    )
    # A redirect would be to whatever Host the client has sent.
    app.router.redirect_slashes = False
    return app


def serve(
    web: Web,
    index: Index,
    ledger: Ledger,
    quarantine: Quarantine,
    stop: Event,
    lane: Lane = lambda: None,
    reports: ReportView | None = None,
) -> None:
    """Serve the status site in this thread until `stop` is set; `Site` has the parameters.

    Raises
    ------
    ConfigError
        If the port is taken, or the host is not an address of this machine.
    """
    with _listen(web) as listener:
        log.info("web.listening", host=web.host, port=web.port)
        config = uvicorn.Config(
            build(index, ledger, quarantine, lane, reports),
            http="h11",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
        _Server(config, stop).run(sockets=[listener])
    log.info("web.stopped")


class _Server(uvicorn.Server):
    """Ends when an event is set, not only on a signal."""

    def __init__(self, config: uvicorn.Config, stop: Event) -> None:
        super().__init__(config)
        self._stop = stop

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._stop.is_set()


def _listen(web: Web) -> socket.socket:
    # Bound here and not by uvicorn, which would log the error and exit the process.
    try:
        family, *_, address = socket.getaddrinfo(
            web.host, web.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"web.host: cannot resolve {web.host}: {error}") from error
    try:
        return socket.create_server(address, family=family)
    except OSError as error:
        key = "web.host" if error.errno == errno.EADDRNOTAVAIL else "web.port"
        reason = os.strerror(error.errno or 0)
        raise ConfigError(
            f"{key}: cannot listen on {web.host}:{web.port}: {reason}; choose another"
        ) from error
