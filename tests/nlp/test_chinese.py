"""What is particular to Chinese reports: punctuation, characters, sizes without a finding."""

from __future__ import annotations

import pytest

from nlp.assertion import assess
from nlp.extract import extract_findings
from nlp.normalize import fold
from nlp.types import Presence


def presences(text: str) -> dict[str, str]:
    return {each.concept: str(each.presence) for each in extract_findings(text).findings}


def test_a_comma_ends_a_denial_and_the_words_for_and_do_not():
    assert presences("肺内未见结节、肿块及实变,双侧胸腔少量积液。") == {
        "nodule": "absent",
        "mass": "absent",
        "consolidation": "absent",
        "pleural_effusion": "present",
    }


def test_a_denial_behind_a_finding_does_not_deny_what_it_speaks_of():
    text = "病灶未见强化。"

    assert assess(text, 0, 2).presence is Presence.PRESENT
    assert assess(text, 4, 6).presence is Presence.ABSENT


@pytest.mark.parametrize(
    "text",
    [
        "未见气胸;双侧胸腔积液。",
        "未见气胸.双侧胸腔积液.",
        "1、未见气胸2、双侧胸腔积液",
        "两肺未见气胸 双侧胸腔见积液",
        "氣胸(-),雙側胸腔積液(+)。",
    ],
)
def test_statements_are_parted_however_they_are_written(text):
    assert presences(text) == {"pneumothorax": "absent", "pleural_effusion": "present"}


def test_traditional_and_full_width_text_keeps_its_offsets():
    text = "雙肺見１．２ｃｍ結節，無氣胸。"  # noqa: RUF001 - full width on purpose

    nodule, pneumothorax = extract_findings(text).findings

    assert (nodule.text, nodule.sizes_mm) == ("結節", ((12.0,),))
    assert (pneumothorax.text, pneumothorax.presence) == ("氣胸", Presence.ABSENT)
    assert len(fold(text).lower) == len(text)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("结节,直径1。2cm。", ((12.0,),)),
        ("结节约3.4*2.5CM。", ((34.0, 25.0),)),
        ("结节,4.5×3.2cm²,CT值43HU。", ((45.0, 32.0),)),
        ("结节,直径0.3~0.8厘米。", ((3.0,), (8.0,))),
        ("结节,扫描层厚5mm。", ()),
    ],
)
def test_sizes_are_read_however_they_are_written(text, sizes):
    assert [each.sizes_mm for each in extract_findings(text).findings] == [sizes]


def test_a_size_without_a_finding_is_a_lesion_and_that_of_an_organ_is_not():
    (lesion,) = extract_findings("左侧臀部见团片,大小约3.4×2.5cm。").findings

    assert (lesion.concept, lesion.sizes_mm) == ("lesion", ((34.0, 25.0),))
    assert extract_findings("胆囊大小6.2×2.3cm。").findings == ()
