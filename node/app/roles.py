"""A role by its name, without what only other roles import."""

from __future__ import annotations

import sys
from threading import Event
from typing import TYPE_CHECKING, Final

from node.app import HL7, RECEIVE, WORK

if TYPE_CHECKING:
    from node.config.model import Config

NOT_FOR_RECEIVING: Final = ("numpy", "PIL")
"""What pydicom imports for pixels where it is installed, and can do without."""


def leave_out_pixels() -> None:
    """Let this process do without the libraries for pixels, unless it has them already.

    A receiver never decodes a pixel, and they cost each of its processes 17 MB and 0.1 s. To
    be called before anything imports pydicom. ``None`` in `sys.modules` is Python's own way
    to say that a module is not there (Language Reference, Section 5.3.1).
    """
    for name in NOT_FOR_RECEIVING:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def run_role(role: str, config: Config, stop: Event, slot: int = 0) -> None:
    """Be one role in this process until `stop` is set.

    Parameters
    ----------
    slot
        Which of the receiver processes it is; no matter to the other roles.

    Raises
    ------
    ConfigError
        If what the configuration names cannot be used on this machine.
    Stopped
        If `stop` is set while another process of this role still runs.
    """
    if role == RECEIVE:
        from node.app.receive import run_receive

        run_receive(config, stop, slot)
    elif role == HL7:
        from node.app.hl7 import run_hl7

        run_hl7(config, stop)
    elif role == WORK:
        from node.app.work import run_work

        run_work(config, stop)
    else:
        from node.app.web import run_web

        run_web(config, stop)
