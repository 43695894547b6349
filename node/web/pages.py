"""The pages: Jinja templates in this package, escaped, with their style inside."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

TEMPLATES = Path(__file__).parent / "templates"
STYLE = "style.css"


class Pages:
    """Renders the templates.

    Attributes
    ----------
    style_source
        Content-Security-Policy source of the one style sheet that the pages contain.
    """

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"utc": _utc, "dimse_status": _dimse_status}
        style = self._templates.get_template(STYLE).render()
        digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self.style_source = f"'sha256-{digest}'"

    def respond(
        self,
        request: Request,
        template: str,
        *,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        **content: Any,
    ) -> HTMLResponse:
        """Render a template.

        All links are relative to `root`, so that the site also works behind a proxy that
        puts it under a path of its own.
        """
        root = "../" * (request.url.path.count("/") - 1) or "./"
        page = self._templates.get_template(template).render(root=root, **content)
        return HTMLResponse(page, status_code, headers)


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _dimse_status(status: int | None) -> str:
    return "" if status is None else f"0x{status:04X}"
