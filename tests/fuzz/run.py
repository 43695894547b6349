"""Fuzz everything that reads bytes from strangers, a million inputs unless told otherwise.

    python -m tests.fuzz.run [--inputs 1000000] [--target NAME]... [--keep FOLDER]

Coverage-guided (atheris, libFuzzer). Each input may take `SECONDS` and each process
`MEMORY_MIB`; more is a finding, as is any exception that a check does not allow. Findings are
printed, kept in a folder, and make the exit status 1.
"""

from __future__ import annotations

import argparse
import math
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.fuzz.targets import TARGETS, Target

SECONDS = 5
MEMORY_MIB = 512
MAX_INPUT_BYTES = 8192
MAX_FINDINGS = 10
"""Of one target; then it is given up."""

_PROGRESS = re.compile(r"^#(\d+)\s", re.MULTILINE)
_ARTIFACT = re.compile(r"Test unit written to (\S+)")


@dataclass
class Outcome:
    """What came of one target."""

    inputs: int = 0
    seconds: float = 0.0
    crashes: list[Path] = field(default_factory=list)
    hangs: list[Path] = field(default_factory=list)
    last_words: str = ""


def fuzz(name: str, target: Target, inputs: int, folder: Path) -> Outcome:
    """Try a number of inputs, going on after a finding."""
    corpus = folder / re.sub(r"\W", "-", name)
    corpus.mkdir(parents=True)
    _findings(corpus).mkdir()
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    outcome = Outcome()
    for attempt in range(MAX_FINDINGS):
        if outcome.inputs >= inputs:
            break
        started = time.perf_counter()
        said = _one_process(name, corpus, inputs - outcome.inputs, attempt)
        outcome.seconds += time.perf_counter() - started
        outcome.inputs += max((int(number) for number in _PROGRESS.findall(said)), default=0)
        for found in map(Path, _ARTIFACT.findall(said)):
            is_hang = found.name.startswith(("timeout-", "slow-unit-"))
            (outcome.hangs if is_hang else outcome.crashes).append(found)
            outcome.last_words = said[-4000:]
        if not _PROGRESS.search(said):
            raise RuntimeError(f"the fuzzer of {name} did not start:\n{said[-4000:]}")
    return outcome


def _findings(corpus: Path) -> Path:
    return corpus.with_name(corpus.name + "-findings")


def _one_process(name: str, corpus: Path, inputs: int, attempt: int) -> str:
    flags = [
        f"-runs={inputs}",
        f"-seed={attempt + 1}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-timeout={SECONDS}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-artifact_prefix={_findings(corpus)}/",
    ]
    # Through a shell that forks again: Linux counts the peak memory of the process that calls
    # exec to the one it becomes, and a caller with more than `MEMORY_MIB` would be the finding.
    forked = ["sh", "-c", '"$@"; exit $?', "sh"]
    return subprocess.run(
        [*forked, sys.executable, "-m", "tests.fuzz.guided", name, str(corpus), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    ).stdout


def _table(outcomes: dict[str, Outcome]) -> Table:
    table = Table(caption=f"{SECONDS} s for an input, {MEMORY_MIB} MiB for a process")
    table.add_column("target")
    for heading in ("inputs", "inputs/s", "crashes", "hangs"):
        table.add_column(heading, justify="right")
    for name, outcome in outcomes.items():
        rate = outcome.inputs / outcome.seconds if outcome.seconds else 0.0
        findings = (str(len(outcome.crashes)), str(len(outcome.hangs)))
        table.add_row(name, f"{outcome.inputs:,}", f"{rate:,.0f}", *findings)
    total = sum(outcome.inputs for outcome in outcomes.values())
    table.add_section()
    table.add_row("all", f"{total:,}")
    return table


def missing() -> str | None:
    """Why nothing can be fuzzed here, or None."""
    if find_spec("atheris") is not None:
        return None
    return "atheris is not installed; it exists for CPython 3.11 to 3.13 on Linux x86-64"


def main() -> int:
    """Fuzz the targets one after the other and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000, help="over all targets")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="only this one")
    parser.add_argument("--keep", type=Path, help="empty folder for corpora and findings")
    arguments = parser.parse_args()
    if reason := missing():
        parser.error(reason)
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="wetread-fuzz-"))
    chosen = {name: TARGETS[name] for name in arguments.target or TARGETS}
    shares = sum(target.share for target in chosen.values())
    outcomes: dict[str, Outcome] = {}
    console = Console()
    for name, target in chosen.items():
        # Up: all together are never fewer than were asked for.
        inputs = math.ceil(arguments.inputs * target.share / shares)
        outcomes[name] = outcome = fuzz(name, target, inputs, folder)
        console.print(f"{name}: {outcome.inputs:,} inputs in {outcome.seconds:.0f} s")
        for found in (*outcome.crashes, *outcome.hangs):
            console.print(f"  {found}", soft_wrap=True)
        console.print(outcome.last_words, markup=False, highlight=False, end="")
    console.print(_table(outcomes))
    return any(outcome.crashes or outcome.hangs for outcome in outcomes.values())


if __name__ == "__main__":
    sys.exit(main())
