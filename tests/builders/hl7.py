"""HL7 messages as a RIS writes them, and a client that sends them, or anything else."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

CHEST_CT = (
    "CT CHEST",
    "FINDINGS:",
    "There is a large right pneumothorax.",
    "No pleural effusion.",
    "IMPRESSION:",
    "Right pneumothorax.",
)


def oru(
    lines: Sequence[str] = CHEST_CT,
    *,
    control_id: str = "MSG1",
    accession: str = "ACC0001",
    status: str = "F",
    study: str = "",
    codec: str = "utf-8",
    declared: str | None = None,
    patient: str = "CRANIUM1",
    at: str = "20260101120000",
    kind: str = "ORU^R01",
    application: str = "RIS",
    observations: Sequence[str] | None = None,
    extra: Sequence[str] = (),
) -> bytes:
    """One ORU^R01 with an OBX of type TX for each line.

    Parameters
    ----------
    declared
        MSH-18; None: what fits `codec`.
    observations
        Whole OBX segments in place of the lines.
    extra
        Segments at the end.
    """
    names = {"utf-8": "UNICODE UTF-8", "gb18030": "GB 18030-2000", "latin-1": "8859/1"}
    charset = names.get(codec, "") if declared is None else declared
    head = ["MSH", "^~\\&", application, "HOSP", "WETREAD", "AI", at, "", kind, control_id]
    segments = [
        "|".join([*head, "P", "2.5", *[""] * 5, charset]),
        f"PID|1||{patient}^^^HOSP||Zebrafinch^Wilhelmina||19600101|F",
        f"OBR|1||{accession}|24627-2^CT CHEST^LN" + "|" * 17 + f"|{at}||CT|{status}",
    ]
    if study:
        segments.append(f"ZDS|{study}^RIS^Application^DICOM")
    if observations is None:
        observations = [
            f"OBX|{number}|TX|59776-5^Findings^LN||{line}||||||{status}"
            for number, line in enumerate(lines, 1)
        ]
    segments += [*observations, *extra]
    return ("\r".join(segments) + "\r").encode(codec)


class Sender:
    """A connection to the MLLP listener.

    Parameters
    ----------
    tls
        Context for TLS; None: plain TCP.
    """

    def __init__(self, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = plain if tls is None else tls.wrap_socket(plain, server_hostname="node")
        self._buffer = b""

    def send(self, message: bytes) -> str:
        """Send one message in a block, and return its acknowledgment."""
        self.raw(b"\x0b" + message + b"\x1c\r")
        return self.answer()

    def raw(self, content: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(content)

    def answer(self) -> str:
        """Wait for the next acknowledgment; empty when the listener has hung up."""
        while b"\x1c\r" not in self._buffer:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                return ""
            if not data:
                return ""
            self._buffer += data
        block, _, self._buffer = self._buffer.partition(b"\x1c\r")
        return block.removeprefix(b"\x0b").decode()

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


def code(acknowledgment: str) -> str:
    """MSA-1 of an acknowledgment; empty where there is none."""
    lines = [line for line in acknowledgment.split("\r") if line.startswith("MSA|")]
    return lines[0].split("|")[1] if lines else ""
