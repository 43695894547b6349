"""What the extractor reads of the synthetic corpus; the thresholds may only rise.

The names are those of `tests.nlp.corpus.score.Score`: F1 for what is found or missed, accuracy for
what is said of it.
"""

from __future__ import annotations

from functools import cache

import pytest

from nlp.assertion import assess
from nlp.extract import extract_findings
from tests.nlp.corpus.files import PARTS, bank, reports, size_bank
from tests.nlp.corpus.score import Score, score

LEAST_F1 = {
    ("en", "looked_at"): {"mentions": 0.95, "advice": 0.95, "urgent": 0.95},
    ("en", "scored_only"): {"mentions": 0.96, "advice": 0.75, "urgent": 0.85},
    ("zh", "looked_at"): {"mentions": 0.98, "advice": 0.99, "urgent": 0.99},
    ("zh", "scored_only"): {"mentions": 0.97, "advice": 0.96, "urgent": 0.99},
}
LEAST_ACCURACY = {
    ("en", "looked_at"): {"presence": 0.97, "temporality": 0.99, "laterality": 0.94},
    ("en", "scored_only"): {"presence": 0.95, "temporality": 0.98, "laterality": 0.95},
    ("zh", "looked_at"): {"presence": 0.99, "temporality": 0.99, "laterality": 0.99},
    ("zh", "scored_only"): {"presence": 0.97, "temporality": 0.99, "laterality": 0.99},
}
LEAST_IN_BANK = {"looked_at": 0.99, "scored_only": 0.98}
LEAST_SIZES = {"looked_at": 0.99, "scored_only": 0.96}


@cache
def scored(language: str, part: str) -> Score:
    return score(reports(language, part))


@pytest.mark.parametrize(("language", "part"), LEAST_F1)
def test_findings_advice_and_urgent_reports_are_found(language, part):
    made = scored(language, part)

    assert {name: made[name].f1 for name in LEAST_F1[language, part]} == {
        name: pytest.approx(1.0, abs=1.0 - least)
        for name, least in LEAST_F1[language, part].items()
    }


@pytest.mark.parametrize(("language", "part"), LEAST_ACCURACY)
def test_what_is_said_of_a_finding_is_right(language, part):
    made = scored(language, part)

    assert {name: made[name].accuracy for name in LEAST_ACCURACY[language, part]} == {
        name: pytest.approx(1.0, abs=1.0 - least)
        for name, least in LEAST_ACCURACY[language, part].items()
    }


@pytest.mark.parametrize("part", PARTS)
def test_assertions_of_any_chinese_mention_are_right(part):
    judged = [
        assess(text, mention.start, mention.end, language="zh").presence == mention.presence
        for text, mention in bank("zh", part)
        if mention.temporality != "hypothetical"
    ]

    assert sum(judged) / len(judged) >= LEAST_IN_BANK[part]


@pytest.mark.parametrize("part", PARTS)
def test_chinese_sizes_are_found_and_nothing_else_is_a_size(part):
    marked, read = [], []
    for number, (text, mentions) in enumerate(size_bank("zh", part)):
        for name in ("sizes_mm", "prior_sizes_mm"):
            marked += [(number, size) for one in mentions for size in getattr(one, name)]
            found = extract_findings(text).findings
            read += [(number, size) for one in found for size in getattr(one, name)]

    assert len(set(marked) & set(read)) / len(set(marked)) >= LEAST_SIZES[part]
    assert set(read) <= set(marked)
