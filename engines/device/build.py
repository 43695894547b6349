"""Compiling the kernels for all supported GPUs: ``make kernels``.

The node's machine needs no compiler: the fatbin is part of a release.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from engines.errors import BackendUnavailable

SOURCES = Path(__file__).parent / "kernels"

FATBIN = Path(__file__).parent / "kernels.fatbin"

ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
"""Compute capabilities from Turing to Blackwell, as nvcc 13 names them."""


def compile_kernels(
    target: Path = FATBIN, architectures: Sequence[str] = ARCHITECTURES, *, threads: int = 0
) -> None:
    """Compile all kernels into one fatbin.

    PTX for the first architecture is added, so that later GPUs can run it too.

    Parameters
    ----------
    target
        File to write.
    architectures
        Compute capabilities without the dot.
    threads
        How many are compiled at once; 0 for one for each core.

    Raises
    ------
    BackendUnavailable
        If nvcc is not on the PATH, or does not compile them; the message has its words.
    """
    compiler = shutil.which("nvcc")
    if compiler is None:
        raise BackendUnavailable("nvcc is not on the PATH; install the CUDA toolkit 13")
    codes = [f"-gencode=arch=compute_{one},code=sm_{one}" for one in architectures]
    oldest = architectures[0]
    codes.append(f"-gencode=arch=compute_{oldest},code=compute_{oldest}")
    command = [compiler, "--fatbin", "-O3", f"--threads={threads}", *codes]
    said = subprocess.run(  # noqa: S603 - the compiler and our own sources
        [*command, "-o", str(target), str(SOURCES / "kernels.cu")],
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode:
        raise BackendUnavailable(f"nvcc does not compile the kernels: {said.stderr.strip()}")


def read_kernels() -> bytes:
    """Read the compiled kernels.

    Raises
    ------
    BackendUnavailable
        If they were not compiled.
    """
    try:
        return FATBIN.read_bytes()
    except FileNotFoundError:
        raise BackendUnavailable(
            f"the GPU kernels are not compiled ({FATBIN.name} is missing); run: make kernels"
        ) from None


if __name__ == "__main__":
    compile_kernels()

__all__ = ["ARCHITECTURES", "FATBIN", "SOURCES", "compile_kernels", "read_kernels"]
