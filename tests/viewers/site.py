"""OHIF's files and a PACS's web services behind one address, as a hospital would serve them."""

from __future__ import annotations

import http.client
import threading
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from tests.builders.network import free_port, wait_until

VERSION = "3.13.2"
FOLDER = Path(__file__).parents[2] / ".cache" / f"ohif-{VERSION}" / "package" / "dist"
"""Where `make viewers` unpacks OHIF; `OHIF` in the Makefile says the same."""

CONFIGURATION = """
window.config = {
  extensions: [], modes: [], showStudyList: true, showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false, investigationalUseDialog: { option: 'never' },
  maxNumberOfWebWorkers: 2, defaultDataSourceName: 'pacs',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'pacs',
    configuration: {
      friendlyName: 'PACS', name: 'pacs',
      wadoUriRoot: '/wado', qidoRoot: '/dicom-web', wadoRoot: '/dicom-web',
      imageRendering: 'wadors', thumbnailRendering: 'wadors', enableStudyLazyLoad: true,
      qidoSupportsIncludeField: true, supportsFuzzyMatching: false, supportsWildcard: true,
      omitQuotationForMultipartRequest: true, bulkDataURI: { enabled: true },
    },
  }],
};
"""
_ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".css": "text/css"}


class Site:
    """A web server on a port of its own.

    Parameters
    ----------
    pacs_port
        HTTP port of the PACS; `/dicom-web` and `/wado` are handed on to it under the same path,
        because Orthanc writes it into its answers.
    """

    def __init__(self, pacs_port: int) -> None:
        self.port = free_port()
        self._pacs_port = pacs_port
        routes = [
            Route("/app-config.js", self._configuration),
            Route("/dicom-web/{rest:path}", self._hand_on, methods=["GET", "POST"]),
            Route("/wado", self._hand_on),
            Route("/{rest:path}", self._file),
        ]
        settings = uvicorn.Config(
            Starlette(routes=routes), host="127.0.0.1", port=self.port, log_level="error",
            lifespan="off",
        )  # fmt: skip
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._server.run, name="site", daemon=True)

    @staticmethod
    def missing() -> str | None:
        """Why it cannot run here, or None."""
        return None if FOLDER.is_dir() else f"OHIF {VERSION} is not unpacked (make viewers)"

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, and wait until it does."""
        self._thread.start()
        wait_until(lambda: self._server.started, within_s=30, what="the site")

    def stop(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join(30)

    def _configuration(self, request: Request) -> Response:
        return Response(CONFIGURATION, media_type="text/javascript", headers=_ISOLATED)

    def _file(self, request: Request) -> Response:
        """Serve one of OHIF's files; every other path is a page of the application."""
        root = FOLDER.resolve()
        found = (root / request.path_params["rest"]).resolve()
        if not (found.is_file() and found.is_relative_to(root)):
            found = root / "index.html"
        return FileResponse(found, media_type=_TYPES.get(found.suffix), headers=_ISOLATED)

    def _hand_on(self, request: Request) -> Response:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        connection = http.client.HTTPConnection("127.0.0.1", self._pacs_port, timeout=60)
        try:
            headers = {"Host": request.headers["host"], "Accept": request.headers["accept"]}
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return Response(
            content,
            status_code=answer.status,
            media_type=answer.getheader("Content-Type"),
            headers=_ISOLATED,
        )
