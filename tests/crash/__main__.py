"""Break a node in every way, and say what was lost.

    python -m tests.crash [--kills 500] [--seed WORD] [--only WORDS] [--keep FOLDER]

Exit code 1 if anything was lost, came twice, did not come to an end, or was left lying about.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.crash.invariants import Verdict
from tests.crash.nursery import Nursery
from tests.crash.scenarios import SCENARIOS, kills_of
from tests.crash.stage import Scenario, Stage, Unavailable

COLUMNS = ("kills", "acknowledged", "lost", "duplicated", "unsettled", "orphans", "other")


def main() -> int:
    """Play the scenarios and print the table."""
    arguments = _arguments()
    console = Console(width=max(Console().width, 110))
    console.print(f"seed {arguments.seed}")
    folder = Path(arguments.keep or tempfile.mkdtemp(prefix="wetread-crash-"))
    wanted = [s for s in SCENARIOS if arguments.only in s.name]
    began = monotonic()
    verdicts: dict[str, Verdict | str] = {}
    nursery = Nursery()
    try:
        with _progress(console) as progress:
            for scenario in wanted:
                number = kills_of(scenario, arguments.kills)
                task = progress.add_task(scenario.name, total=number)
                stage = Stage(
                    folder / scenario.name.replace(" ", "-").replace(",", ""),
                    nursery,
                    f"{arguments.seed} {scenario.name}",
                    number,
                    lambda task=task: progress.advance(task),  # type: ignore[misc]
                )
                verdicts[scenario.name] = _play(scenario, stage)
                progress.update(task, completed=number)
                if not console.is_terminal:
                    console.print(_line(scenario.name, verdicts[scenario.name]))
    finally:
        nursery.close()
    console.print(_table(verdicts))
    bad = _print_violations(console, verdicts)
    killed = [v.kills for s in wanted if s.share and isinstance(v := verdicts[s.name], Verdict)]
    minutes = (monotonic() - began) / 60
    console.print(
        f"{sum(killed)} kills in {minutes:.1f} min with all checks; seed {arguments.seed}; "
        + (f"logs and data in {folder}" if bad or arguments.keep else "nothing kept")
    )
    if not bad and not arguments.keep:
        shutil.rmtree(folder)
    return 1 if bad else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=500, help="in all; each scenario has a share")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="repeats the same choices")
    parser.add_argument("--only", default="", help="scenarios with these words in their name")
    parser.add_argument("--keep", help="an empty folder for logs and data")
    return parser.parse_args()


def _play(scenario: Scenario, stage: Stage) -> Verdict | str:
    """One scenario; one that cannot be played, or breaks off, does not stop the others."""
    try:
        return scenario.play(stage)
    except Unavailable as error:
        return str(error)
    except AssertionError as error:
        return Verdict(0, 0, other=[f"broke off: {error}"])


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def _line(name: str, verdict: Verdict | str) -> str:
    """What a log shows while the others still run."""
    if isinstance(verdict, str):
        return f"{name}: not played: {verdict}"
    return f"{name}: {verdict.kills} kills, {len(verdict.violations)} violations"


def _table(verdicts: dict[str, Verdict | str]) -> Table:
    table = Table("scenario", *COLUMNS, title="What was broken, and what came of it")
    for name, verdict in verdicts.items():
        if isinstance(verdict, str):
            table.add_row(name, f"[yellow]not played: {verdict}")
            continue
        found = (verdict.lost, verdict.duplicated, verdict.unsettled, verdict.orphans)
        cells = [verdict.kills, verdict.acknowledged, *map(len, (*found, verdict.other))]
        table.add_row(name, *map(str, cells), style="" if verdict.ok else "red")
    return table


def _print_violations(console: Console, verdicts: dict[str, Verdict | str]) -> bool:
    bad = False
    for name, verdict in verdicts.items():
        if isinstance(verdict, Verdict) and not verdict.ok:
            bad = True
            console.print(f"\n[red]{name}")
            for sentence in verdict.violations[:20]:
                console.print(f"  {sentence}", highlight=False)
            if len(verdict.violations) > 20:
                console.print(f"  and {len(verdict.violations) - 20} more")
    return bad


if __name__ == "__main__":
    sys.exit(main())
