"""The text of a PDF, read by pypdf in a process of its own.

A PDF is a program: what it costs to read it cannot be told beforehand. The process may take so
much memory and so much time, and no more; whatever happens to it happens to nobody else.
"""

from __future__ import annotations

import logging
import resource
import subprocess
import sys
from io import BytesIO
from typing import Final

from node.errors import ReportError

MAX_PAGES: Final = 200
MAX_CHARACTERS: Final = 1_000_000
CPU_SECONDS: Final = 20
WALL_SECONDS: Final = 60.0
MEMORY_BYTES: Final = 1024 * 2**20

_NO_TEXT: Final = 3
_UNREADABLE: Final = 4
_LOCKED: Final = 5
_REASONS: Final = {
    _NO_TEXT: "no text: the PDF holds none, as a scanned one does",
    _UNREADABLE: "the PDF cannot be read: it is damaged",
    _LOCKED: "the PDF cannot be read: it is encrypted",
}


def read_pdf(content: bytes) -> str:
    """Extract the text of a PDF, page by page.

    Raises
    ------
    ReportError
        If it cannot be read within the limits, is encrypted, or holds no text, as a scan does.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", __name__],
            input=content,
            capture_output=True,
            timeout=WALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ReportError(f"the PDF takes more than {WALL_SECONDS:g} s to read") from error
    if done.returncode == 0:
        return done.stdout.decode("utf-8", errors="replace")
    limits = f"{CPU_SECONDS} s or {MEMORY_BYTES // 2**20} MiB"
    raise ReportError(_REASONS.get(done.returncode, f"the PDF takes more than {limits} to read"))


def extract(content: bytes) -> str:
    """Extract the text in this process; raises whatever pypdf meets."""
    from pypdf import PdfReader

    reader = PdfReader(BytesIO(content))
    pages: list[str] = []
    for page in reader.pages[:MAX_PAGES]:
        pages.append(page.extract_text())
        if sum(map(len, pages)) > MAX_CHARACTERS:
            break
    text = "\n".join(pages)[:MAX_CHARACTERS]
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def main() -> int:
    """Read a PDF from standard input, and print its text or end with a code that says why not."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)
    from pypdf.errors import FileNotDecryptedError

    try:
        text = extract(sys.stdin.buffer.read())
    except FileNotDecryptedError:
        return _LOCKED
    except Exception:  # noqa: BLE001 - pypdf raises what its parser meets
        return _UNREADABLE
    if not text.strip():
        return _NO_TEXT
    sys.stdout.buffer.write(text.encode("utf-8", errors="replace"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
