"""What a sentence says about a mention, the lexicon's or any other."""

from __future__ import annotations

import pytest

from nlp.assertion import assess
from nlp.types import Assertion, Experiencer, Presence, Temporality


def judged(marked: str, *, language: str | None = None) -> Assertion:
    """Assess the part in [brackets]."""
    before, mention, behind = marked.replace("]", "[").split("[")
    text = before + mention + behind
    return assess(text, len(before), len(before) + len(mention), language=language)


@pytest.mark.parametrize(
    "marked",
    [
        "No [effusion] or edema.",
        "no effusion, pneumothorax or [edema] is seen",
        "THERE IS NO EVIDENCE OF [XYLOPHONITIS]",
        "In general no [change in vision].",
        "[Effusion] and pneumothorax are not seen.",
        "[Pneumothorax]: none.",
        "She denies any headache, nausea, or [double vision].",
    ],
)
def test_a_denied_mention_is_absent_whether_or_not_the_lexicon_knows_it(marked):
    assert judged(marked).presence is Presence.ABSENT


@pytest.mark.parametrize(
    "marked",
    [
        "No effusion, but [edema] is seen.",
        "No effusion, [heart is enlarged].",
        "No significant change in the left [effusion].",
        "Not only [edema] but also effusion.",
        "No drug was given because of [nausea].",
    ],
)
def test_a_denial_ends_where_its_clause_ends(marked):
    assert judged(marked).presence is Presence.PRESENT


@pytest.mark.parametrize(
    ("marked", "presence"),
    [
        ("Cannot exclude [pneumonia].", Presence.POSSIBLE),
        ("[Pneumonia] cannot be excluded.", Presence.POSSIBLE),
        ("Findings compatible with [edema].", Presence.PROBABLE),
        ("[Abscess] is considered unlikely.", Presence.UNLIKELY),
        ("不除外[肺炎]。", Presence.POSSIBLE),
        ("未见胸腔[积液]。", Presence.ABSENT),
    ],
)
def test_certainty_is_graded(marked, presence):
    assert judged(marked).presence is presence


def test_history_conditions_and_relatives_are_told_apart():
    assert judged("History of [stroke].").temporality is Temporality.HISTORICAL
    assert judged("PAST MEDICAL HISTORY: asthma, [stroke].").temporality is Temporality.HISTORICAL
    assert judged("Return if [fever] occurs.").temporality is Temporality.HYPOTHETICAL
    assert judged("INDICATION: rule out [clot].").temporality is Temporality.HYPOTHETICAL
    assert judged("Presents with [fever].").temporality is Temporality.RECENT
    assert judged("Her mother had [stroke].").experiencer is Experiencer.OTHER


@pytest.mark.parametrize(
    "marked",
    [
        "In 2001, she had a [stroke].",
        "About ten years ago he was treated for [tuberculosis].",
        "She underwent lobectomy in April 2003 for [cancer].",
        "Her last [seizure] was 3 years ago.",
        "[Diabetes] for over 20 years.",
        "[Status post bypass].",
        "Sent from the ward  PAST MEDICAL HISTORY: [gout].",
    ],
)
def test_what_a_date_or_a_duration_puts_in_the_past_is_historical(marked):
    assert judged(marked).temporality is Temporality.HISTORICAL


@pytest.mark.parametrize(
    "marked",
    [
        "Status post fall with hip [pain].",
        "Prior CT showed a [nodule].",
        "A man with hx of hypertension complaining of chest [pain].",
        "Vomited 3 years ago; today [fever].",
        "Patient history: [cough] for two days.",
        "The [nodule] has been stable for 3 years.",
        "The [nodule] is larger than in April.",
        "Since 2019, the [nodule] has grown.",
        "Last year, there was a [nodule] of 3 mm, now 5 mm.",
    ],
)
def test_what_only_stands_beside_the_past_is_recent(marked):
    assert judged(marked).temporality is Temporality.RECENT


def test_a_mention_that_is_slightly_off_is_still_the_word_it_means():
    text = "There is no pleural effusion."
    assert assess(text, text.index("eural"), text.index("sion")).presence is Presence.ABSENT
    assert assess(text, text.index(" pleural"), len(text)).presence is Presence.ABSENT


def test_offsets_outside_the_text_are_refused():
    with pytest.raises(ValueError, match="do not lie in a text of 3 characters"):
        assess("abc", 0, 4)
