"""The keeper of reports is killed at each of its durable steps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from node.reports import ReportState
from node.store.database import database_url, open_database
from node.store.files import REPORTS, Files
from node.store.report_messages import ReportMessages
from node.store.reports import Reports

ROOT = Path(__file__).parents[3]


def test_a_kill_at_any_step_loses_no_report_and_keeps_none_twice(tmp_path):
    said = subprocess.run(
        [sys.executable, "-m", "tests.receive.hl7.killed", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert said.returncode == 0, said.stderr
    deaths = [json.loads(line) for line in (tmp_path / "deaths").read_text().splitlines()]

    assert sum(death["killed"] for death in deaths) > 20
    assert {death["acknowledged"] for death in deaths} == {0, 1, 2, 3}
    for death in deaths:
        look_at(Path(death["folder"]))


def look_at(folder: Path) -> None:
    """Both revisions are there once with their texts, the useless message in quarantine."""
    engine = open_database(database_url("sqlite", folder))
    files = Files(folder)
    rows = {row.revision: row for row in Reports(engine).newest()}
    texts = {
        number: files.path(row.text_path).read_text(encoding="utf-8")
        for number, row in rows.items()
    }
    quarantined = ReportMessages(engine).quarantined()
    engine.dispose()
    files.sweep(REPORTS)

    assert {number: text.splitlines()[-1] for number, text in texts.items()} == {
        1: "Pneumothorax.",
        2: "No pneumothorax.",
    }, folder
    assert rows[1].state is ReportState.SUPERSEDED
    assert rows[2].current
    assert len(quarantined) == 1
    assert list((folder / "parts").glob("*.part")) == []
    kept = {path for path in (folder / REPORTS).rglob("*") if path.is_file()}
    assert len(kept) == 3, kept
