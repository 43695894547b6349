"""A real Orthanc as an ordinary process, with an auto-routing script."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.builders.network import free_port, wait_until

AUTOROUTE = Path(__file__).with_name("autoroute.lua")
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
STABLE_AGE_S = 2


class Orthanc:
    """One PACS.

    Parameters
    ----------
    node_port
        Where the node listens; every stable study is routed there.
    dicomweb
        Whether it is an origin server, too.
    changes
        Keys of its configuration.
    """

    def __init__(
        self, folder: Path, node_port: int, *, dicomweb: bool = False, **changes: Any
    ) -> None:
        self.http_port = free_port()
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.log_file = folder / "orthanc.log"
        self._configuration = folder / "orthanc.json"
        self._configuration.write_text(
            json.dumps(
                {
                    "Name": "test",
                    "StorageDirectory": str(folder / "db"),
                    "IndexDirectory": str(folder / "db"),
                    "HttpPort": self.http_port,
                    "DicomPort": self.port,
                    "DicomAet": "ORTHANC",
                    "RemoteAccessAllowed": False,
                    "AuthenticationEnabled": False,
                    "DicomAlwaysAllowStore": True,
                    "DicomAlwaysAllowEcho": True,
                    "DicomModalities": {"wetread": ["WETREAD", "127.0.0.1", node_port]},
                    "StableAge": STABLE_AGE_S,
                    "OverwriteInstances": False,
                    "LuaScripts": [str(AUTOROUTE)],
                    "Plugins": [str(DICOMWEB)] if dicomweb else [],
                    "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
                    **changes,
                }
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing(*, dicomweb: bool = False) -> str | None:
        """Why it cannot run here, or None."""
        if not shutil.which("Orthanc"):
            return "Orthanc is not installed (make test-deps)"
        if dicomweb and not DICOMWEB.exists():
            return "Orthanc's DICOMweb is not installed (make test-deps)"
        return None

    def start(self) -> None:
        """Start it and wait until it answers."""
        # Without TCP_NODELAY each C-STORE over loopback waits 45 ms for a delayed ACK.
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                ["Orthanc", str(self._configuration), "--verbose"],
                stdout=log,
                stderr=log,
                env={**os.environ, "TCP_NODELAY": "1"},
            )
        wait_until(self._answers, within_s=60, what=f"Orthanc ({self.log_file})")

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def get(self, path: str) -> Any:
        """GET a JSON document of the REST API."""
        return json.loads(self.download(path))

    def download(self, path: str) -> bytes:
        """GET the bytes behind a path of the REST API."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}") as answer:
            content: bytes = answer.read()
        return content

    def instances(self, study_instance_uid: str) -> dict[str, str]:
        """SOP Instance UID → Orthanc id of every instance listed under a study."""
        studies = [
            study
            for study in self.get("/studies?expand")
            if study["MainDicomTags"]["StudyInstanceUID"] == study_instance_uid
        ]
        assert len(studies) <= 1, "one study, not one for each result"
        return {
            instance["MainDicomTags"]["SOPInstanceUID"]: instance["ID"]
            for study in studies
            for instance in self.get(f"/studies/{study['ID']}/instances")
        }

    def jobs(self, *states: str) -> list[str]:
        """Ids of the auto-router's jobs in these states."""
        return [job for job in self.get("/jobs") if self.get(f"/jobs/{job}")["State"] in states]

    def resubmit(self, job: str) -> None:
        """Run a failed job again, as an administrator does: Orthanc does not by itself."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}/jobs/{job}/resubmit", data=b"{}", method="POST"
        )
        urllib.request.urlopen(request).close()  # noqa: S310

    def delete(self, path: str) -> None:
        """DELETE what is behind a path of the REST API."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        urllib.request.urlopen(urllib.request.Request(url, method="DELETE")).close()

    def _answers(self) -> bool:
        try:
            self.get("/system")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True
