"""A very small PACS for ``wetread demo``: it stores, answers C-ECHO, and routes everything on.

Like a plainly configured auto-router it also routes the node's own results back to the
node, which must not process them again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from node.config.destination import DimseDestination
from node.deliver.scu import send
from node.dimse import VERIFICATION
from node.errors import TransientError


class DemoPacs:
    """A storage SCP that keeps files in a folder and forwards each association's instances.

    Parameters
    ----------
    route_to
        Where everything that arrives is sent on, once its association has ended; None:
        nowhere.
    """

    def __init__(self, folder: Path, ae_title: str, route_to: DimseDestination | None) -> None:
        self.folder = folder
        self.ae_title = ae_title
        self._route_to = route_to
        self._to_route: queue.Queue[list[Path] | None] = queue.Queue()
        self._open: dict[int, list[Path]] = {}
        self._router = threading.Thread(target=self._route, daemon=True)
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> int:
        """Listen on a free loopback port and return it."""
        ae = AE(self.ae_title)
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(cast(UID, context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
        ae.add_supported_context(VERIFICATION)
        ae.maximum_pdu_size = 131072
        self._server = cast(Any, ae).start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._on_store), (evt.EVT_RELEASED, self._on_released)],
        )
        self._router.start()
        return int(self._server.socket.getsockname()[1])

    def stop(self) -> None:
        """Stop listening, and forward nothing more."""
        self._to_route.put(None)
        self._server.shutdown()

    def stored(self, wanted: Callable[[Dataset], bool]) -> list[Path]:
        """Stored files whose header is wanted, by name."""
        return [
            path
            for path in sorted(self.folder.glob("*.dcm"))
            if wanted(dcmread(path, stop_before_pixels=True))
        ]

    def _on_store(self, event: Event) -> int:
        uid = str(cast(C_STORE, event.request).AffectedSOPInstanceUID)
        path = self.folder / f"{uid}.dcm"
        part = path.with_suffix(".part")
        part.write_bytes(event.encoded_dataset())
        part.rename(path)
        self._open.setdefault(id(event.assoc), []).append(path)
        return 0x0000

    def _on_released(self, event: Event) -> None:
        if paths := self._open.pop(id(event.assoc), []):
            self._to_route.put(paths)

    def _route(self) -> None:
        while (paths := self._to_route.get()) is not None:
            if self._route_to is None:
                continue
            try:
                send(paths, self._route_to, self.ae_title, lambda _path, _outcome: None)
            except TransientError:
                # The node is stopping; a real PACS would keep the job for later.
                continue
