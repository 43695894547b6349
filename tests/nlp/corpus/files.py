"""The corpus from its files, and as JSON Lines.

``PYTHONPATH=. python -m tests.nlp.corpus.files en scored_only > reports.jsonl`` writes one part in
the format that the benchmark reads.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.nlp.corpus.marks import Advice, MarkError, Mention, read_marks

FOLDER = Path(__file__).parent
LANGUAGES = ("en", "zh")
PARTS = ("looked_at", "scored_only")

_HEADER = re.compile(r"^== (?P<id>\S+) \| (?P<modality>\S+) (?P<body_part>\S+) \| ?(?P<covers>.*)$")


@dataclass(frozen=True)
class AnnotatedReport:
    """One report of the corpus.

    Attributes
    ----------
    modality, body_part
        DICOM Modality and BodyPartExamined.
    part
        ``looked_at`` by who writes lexicon and rules, or ``scored_only``.
    covers
        Names of the pitfalls that the report was written for (README.md).
    """

    id: str
    language: str
    part: str
    modality: str
    body_part: str
    covers: tuple[str, ...]
    text: str
    mentions: tuple[Mention, ...]
    advice: tuple[Advice, ...]


def reports(language: str | None = None, part: str | None = None) -> list[AnnotatedReport]:
    """Reports of one language or part, or all; in the order of the files."""
    return [
        report
        for one in LANGUAGES
        if language in (None, one)
        for each in PARTS
        if part in (None, each)
        for path in sorted((FOLDER / one / each).glob("*.txt"))
        for report in _of_file(path, one, each)
    ]


def bank(language: str, part: str) -> list[tuple[str, Mention]]:
    """Single mentions for ``assess``, as (sentence, mention); any words, with no concept."""
    lines = (FOLDER / language / "assertion" / f"{part}.txt").read_text("utf-8").splitlines()
    marked = (read_marks(line) for line in lines if line and not line.startswith("#"))
    return [(one.text, mention) for one in marked for mention in one.mentions]


def size_bank(language: str, part: str) -> list[tuple[str, tuple[Mention, ...]]]:
    """Sentences with all their sizes, as (sentence, one mention per size expression)."""
    lines = (FOLDER / language / "sizes" / f"{part}.txt").read_text("utf-8").splitlines()
    marked = (read_marks(line) for line in lines if line and not line.startswith("#"))
    return [(one.text, tuple(one.mentions)) for one in marked]


def as_json(report: AnnotatedReport) -> dict[str, object]:
    """One line of JSON Lines: the fields of the report, mentions and advice as lists of objects."""
    return asdict(report)


def _of_file(path: Path, language: str, part: str) -> list[AnnotatedReport]:
    found = []
    for piece in re.split(r"^(?=== )", path.read_text("utf-8"), flags=re.MULTILINE):
        header_line, _, body = piece.partition("\n")
        if not header_line.startswith("== "):
            continue
        header = _HEADER.match(header_line)
        if header is None:
            raise ValueError(
                f"{path.name}: {header_line!r} is not '== ID | MODALITY PART | COVERS'"
            )
        try:
            marked = read_marks(body.strip("\n"))
        except MarkError as wrong:
            raise MarkError(f"{path.name}: {header['id']}: {wrong}") from wrong
        covers = tuple(header["covers"].replace(",", " ").split())
        found.append(
            AnnotatedReport(
                header["id"],
                language,
                part,
                header["modality"],
                header["body_part"],
                covers,
                marked.text,
                tuple(marked.mentions),
                tuple(marked.advice),
            )
        )
    return found


if __name__ == "__main__":
    for each_report in reports(*sys.argv[1:3]):
        sys.stdout.write(json.dumps(as_json(each_report), ensure_ascii=False) + "\n")
