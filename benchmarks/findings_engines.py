"""One engine for negation and history over reports, in a process and an interpreter of its own.

``python findings_engines.py NAME < reports.jsonl`` reads reports with ``text`` and ``mentions``
(``start``, ``end``) and writes one JSON object: version, seconds to import and to load, memory, and
per report the seconds of processor time and, per mention, ``[denied, historical]``; null for what
the engine does not judge.

It imports nothing of this project but for the engine ``wetread``, so that a peer's interpreter can
run it. All engines get the same mentions; none has to find them.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

Verdicts = list[tuple[bool, bool | None]]
Engine = Callable[[str, list[dict[str, Any]]], Verdicts]


def wetread() -> tuple[Engine, str]:
    """Run our whole extraction, and ``assess`` for each mention."""
    from nlp.assertion import assess
    from nlp.extract import extract_findings

    def run(text: str, mentions: list[dict[str, Any]]) -> Verdicts:
        extract_findings(text)
        made = [assess(text, each["start"], each["end"]) for each in mentions]
        return [(a.presence in {"absent", "unlikely"}, a.temporality == "historical") for a in made]

    return run, "this tree"


def negspacy(terms: str) -> tuple[Engine, str]:
    """Run negspaCy on a blank English pipeline with spaCy's rule-based sentences."""
    import spacy
    from negspacy.negation import Negex  # noqa: F401 - registers the factory
    from negspacy.termsets import termset

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("negex", config={"neg_termset": termset(terms).get_patterns()})

    def run(text: str, mentions: list[dict[str, Any]]) -> Verdicts:
        doc = nlp.get_pipe("sentencizer")(nlp.make_doc(text))
        spans = _spans(doc, mentions)
        nlp.get_pipe("negex")(doc)
        return [(bool(span is not None and span._.negex), None) for span in spans]

    return run, version("negspacy")


def medspacy() -> tuple[Engine, str]:
    """Run medspaCy's sentences (PyRuSH) and ConText with its default rules."""
    import medspacy as package

    nlp = package.load(medspacy_enable=["medspacy_pyrush", "medspacy_context"])

    def run(text: str, mentions: list[dict[str, Any]]) -> Verdicts:
        doc = nlp.get_pipe("medspacy_pyrush")(nlp.make_doc(text))
        spans = _spans(doc, mentions)
        nlp.get_pipe("medspacy_context")(doc)
        return [
            (False, False) if span is None else (span._.is_negated, span._.is_historical)
            for span in spans
        ]

    return run, version("medspacy")


def _spans(doc: Any, mentions: list[dict[str, Any]]) -> list[Any]:
    """Mentions as entities; spaCy allows none that overlap, the first one stays."""
    spans: list[Any] = []
    taken: set[int] = set()
    for each in mentions:
        span = doc.char_span(each["start"], each["end"], label="FINDING", alignment_mode="expand")
        if span is None or taken & set(range(span.start, span.end)):
            spans.append(None)
            continue
        taken |= set(range(span.start, span.end))
        spans.append(span)
    doc.ents = [span for span in spans if span is not None]
    return spans


ENGINES: dict[str, Callable[[], tuple[Engine, str]]] = {
    "wetread": wetread,
    "negspacy en": lambda: negspacy("en"),
    "negspacy en_clinical": lambda: negspacy("en_clinical"),
    "medspacy": medspacy,
}


def main() -> None:
    """Run one engine over the reports on standard input."""
    reports = [json.loads(line) for line in sys.stdin]
    began = time.process_time()
    run, engine_version = ENGINES[sys.argv[1]]()
    imported = time.process_time() - began
    run("No effusion.", [{"start": 3, "end": 11}])
    loaded = time.process_time() - began
    seconds, verdicts = [], []
    for report in reports:
        began = time.process_time()
        verdicts.append(run(report["text"], report["mentions"]))
        seconds.append(time.process_time() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    made = {
        "version": engine_version,
        "import_s": imported,
        "load_s": loaded,
        "peak_mb": peak,
        "seconds": seconds,
        "verdicts": verdicts,
    }
    sys.stdout.write(json.dumps(made))


if __name__ == "__main__":
    main()
