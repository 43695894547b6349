"""Negation, history and findings of reports: ours beside negspaCy and medspaCy, in one run.

    python -m benchmarks.findings [--part scored_only] [--file reports.jsonl] [--peers DIR]

The synthetic corpus (tests/nlp/corpus), English, or any file in its JSON Lines format. Every engine
judges the same mentions, in a process of its own; ours also reads the whole report each time, which
the peers do not. The peers are each installed into a virtual environment of its own the first time
(``--peers``), from PyPI; ``--no-peers`` leaves them out.

Printed: F1 of negation (absent and unlikely against the rest) and of history, with bootstrap 95 %
intervals over reports; processor time per report and per 300 characters; time to import; memory.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.nlp.corpus.files import as_json, reports
from tests.nlp.corpus.score import score, table

SCRIPT = Path(__file__).parent / "findings_engines.py"
REQUIREMENTS = {"negspacy": "negspacy>=1.1,<2", "medspacy": "medspacy>=1.3,<2"}
"""Each in an environment of its own: they want different versions of spaCy."""
PEERS = ("negspacy en", "negspacy en_clinical", "medspacy")
DENIED = {"absent", "unlikely"}
RESAMPLES = 500

Report = dict[str, Any]
Pairs = list[tuple[bool, bool | None]]


def peer_python(folder: Path, engine: str) -> Path:
    """Interpreter with the peer of an engine; made and filled if it is not there."""
    package = engine.split()[0]
    python = folder / package / "bin" / "python"
    if not python.exists():
        venv.create(folder / package, with_pip=True)
        pip = [python, "-m", "pip", "install", "-q", REQUIREMENTS[package]]
        subprocess.run(pip, check=True)
    return python


def run_engine(name: str, python: Path, given: Sequence[Report]) -> dict[str, Any]:
    """Run one engine over the reports in a process of its own."""
    lines = "\n".join(json.dumps(each) for each in given)
    done = subprocess.run(
        [python, SCRIPT, name],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
        env={"PYTHONPATH": str(Path(__file__).parent.parent)} if name == "wetread" else None,
    )
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def f1(pairs: Pairs) -> float:
    """F1 of (marked, read) pairs; 1 if nothing is marked or read."""
    right = sum(bool(marked and read) for marked, read in pairs)
    wrong = sum(marked != read for marked, read in pairs)
    return 2 * right / (2 * right + wrong) if right + wrong else 1.0


def with_interval(per_report: Sequence[Pairs]) -> str:
    """F1 and its bootstrap 95 % interval over reports; a dash for what is not judged."""
    if any(read is None for part in per_report for _, read in part):
        return "-"
    draw = random.Random(0)  # noqa: S311 - resampling, no secret
    values = sorted(
        f1([pair for part in draw.choices(per_report, k=len(per_report)) for pair in part])
        for _ in range(RESAMPLES)
    )
    whole = f1([pair for part in per_report for pair in part])
    low, high = values[round(RESAMPLES * 0.025)], values[round(RESAMPLES * 0.975) - 1]
    return f"{whole:.3f} [{low:.3f}-{high:.3f}]"


def pairs(given: Sequence[Report], made: dict[str, Any], index: int) -> list[Pairs]:
    """(marked, read) of each mention of each report: denial (index 0) or history (1)."""
    return [
        [
            (
                mention["presence"] in DENIED
                if index == 0
                else mention["temporality"] == "historical",
                verdict[index],
            )
            for mention, verdict in zip(report["mentions"], verdicts, strict=True)
        ]
        for report, verdicts in zip(given, made["verdicts"], strict=True)
    ]


def row(name: str, given: Sequence[Report], made: dict[str, Any]) -> list[str]:
    """One line of the table."""
    seconds = sorted(made["seconds"])
    per_300 = [
        300 * each / max(len(report["text"]), 1)
        for each, report in zip(made["seconds"], given, strict=True)
    ]
    return [
        f"{name} ({made['version']})",
        with_interval(pairs(given, made, 0)),
        with_interval(pairs(given, made, 1)),
        f"{1e3 * median(seconds):.2f}",
        f"{1e3 * seconds[min(round(len(seconds) * 0.99), len(seconds) - 1)]:.2f}",
        f"{1e3 * median(per_300):.2f}",
        f"{made['import_s']:.2f}",
        f"{made['peak_mb']:.0f}",
    ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", default="scored_only", choices=["looked_at", "scored_only"])
    parser.add_argument("--file", type=Path, help="JSON Lines in the corpus's format")
    parser.add_argument("--peers", type=Path, default=Path("build/findings-peers"))
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args()
    console = Console()
    marked = reports("en", options.part)
    if options.file:
        given = [json.loads(line) for line in options.file.read_text("utf-8").splitlines() if line]
    else:
        given = [as_json(each) for each in marked]
    engines = [("wetread", Path(sys.executable))]
    if not options.no_peers:
        engines += [(name, peer_python(options.peers, name)) for name in PEERS]
    shown = Table(
        "engine", "negation F1", "history F1", "ms/report", "p99", "ms/300 char.", "import s",
        "peak MB",
        title=f"{len(given)} reports, {sum(len(each['mentions']) for each in given)} mentions",
    )  # fmt: skip
    for name, python in engines:
        shown.add_row(*row(name, given, run_engine(name, python, given)))
    console.print(shown)
    if not options.file:
        for line in table(score(marked)):
            console.print(line)


if __name__ == "__main__":
    main()
