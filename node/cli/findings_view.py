"""A report with its evidence highlighted, for a terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nlp.intake import Intake
from nlp.labels import LabelSet, labels_of
from nlp.types import Finding, Presence, Report, Temporality

_STYLES = {
    Presence.ABSENT: "green",
    Presence.UNLIKELY: "green",
    Presence.POSSIBLE: "yellow",
    Presence.PROBABLE: "bold dark_orange",
    Presence.PRESENT: "bold red",
}
_OLD = "blue"
_COLUMNS = {
    "finding": 12,
    "presence": 12,
    "side": 9,
    "site": 11,
    "size (mm)": 9,
    "attributes": 10,
    "section": 10,
}
"""Columns, and their widths in a terminal of usual width: the longest word usual in each."""

_USUAL = range(80, 120)
"""Terminals, in characters, that hold the columns at those widths; elsewhere the text decides."""


def show(console: Console, intake: Intake, report: Report, labels: LabelSet | None) -> None:
    """Print the text with its evidence in colour, then what was found.

    Present is red, probable orange, possible yellow, absent green, history and conditions blue.
    """
    if intake.id is not None:
        console.rule(Text(str(intake.id)))
    console.print(_highlighted(intake.text, report))
    table = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for name, word in _COLUMNS.items():
        table.add_column(name, overflow="fold", width=word if console.width in _USUAL else None)
    for finding in report.findings:
        table.add_row(*_cells(finding), style=_style(finding))
    console.print(table)
    for each in report.critical:
        console.print(
            Text(f"critical, category {each.category}: {_in_words(each.concept)}", style="bold red")
        )
    for advice in report.recommendations:
        console.print(Text("recommendation: " + " ".join(_advice(advice.to_json()))))
    if labels is not None:
        marks = Table("label", "presence", title=labels.name)
        for name, presence in labels_of(report, labels).items():
            marks.add_row(name, "not mentioned" if presence is None else presence.value)
        console.print(marks)


def _highlighted(text: str, report: Report) -> Text:
    shown = Text(text)
    for finding in report.findings:
        for each in finding.evidence:
            shown.stylize(_style(finding), each.start, each.end)
    return shown


def _style(finding: Finding) -> str:
    return _OLD if finding.temporality is not Temporality.RECENT else _STYLES[finding.presence]


def _cells(finding: Finding) -> tuple[str, ...]:
    sizes = "; ".join(" × ".join(f"{each:g}" for each in size) for size in finding.sizes_mm)
    before = "; ".join(" × ".join(f"{each:g}" for each in size) for size in finding.prior_sizes_mm)
    attributes = [finding.severity, finding.change, *finding.morphology]
    when = "" if finding.temporality is Temporality.RECENT else f", {finding.temporality}"
    return (
        _in_words(finding.concept),
        f"{finding.presence}{when}",
        finding.laterality or "",
        ", ".join(_in_words(each) for each in finding.sites),
        f"{sizes} (was {before})" if before else sizes,
        ", ".join(_in_words(each) for each in attributes if each),
        _in_words(finding.section),
    )


def _in_words(identifier: str) -> str:
    """An id of the lexicon as people write it: ``pleural_effusion`` is "pleural effusion"."""
    return identifier.replace("_", " ")


def _advice(advice: dict[str, object]) -> list[str]:
    """The parts of a recommendation that are there."""
    if advice["negated"]:
        return ["none needed"]
    parts = [str(advice["modality"] or "follow-up")]
    if isinstance(advice["interval_days"], list):
        low, high = advice["interval_days"]
        parts.append(f"in {low} days" if low == high else f"in {low} to {high} days")
    if advice["condition"]:
        parts.append(f"if {advice['condition']}")
    return parts
