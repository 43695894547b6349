"""Sections of a report by their codes, and the heading that stands for each in plain text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

HEADINGS: Final = {
    "indication": ("INDICATION", "检查目的"),
    "history": ("HISTORY", "病史"),
    "technique": ("TECHNIQUE", "检查方法"),
    "comparison": ("COMPARISON", "对比"),
    "findings": ("FINDINGS", "影像所见"),
    "impression": ("IMPRESSION", "诊断意见"),
    "recommendation": ("RECOMMENDATION", "建议"),
    "addendum": ("ADDENDUM", "补充报告"),
}
"""Section → heading in English and in Chinese, as `nlp` reads them."""

SECTION_OF_CODE: Final = {
    ("LN", "18785-6"): "indication",
    ("LN", "10154-3"): "indication",
    ("LN", "55115-0"): "indication",
    ("DCM", "121109"): "indication",
    ("LN", "11329-0"): "history",
    ("LN", "55108-5"): "history",
    ("LN", "55752-0"): "history",
    ("DCM", "121060"): "history",
    ("LN", "55111-9"): "technique",
    ("DCM", "121064"): "technique",
    ("DCM", "121065"): "technique",
    ("LN", "18834-2"): "comparison",
    ("LN", "55114-3"): "comparison",
    ("DCM", "121066"): "comparison",
    ("LN", "59776-5"): "findings",
    ("LN", "18782-3"): "findings",
    ("LN", "29252-4"): "findings",
    ("LN", "19006-6"): "findings",
    ("DCM", "121070"): "findings",
    ("DCM", "121071"): "findings",
    ("LN", "19005-8"): "impression",
    ("LN", "55110-1"): "impression",
    ("LN", "55112-7"): "impression",
    ("DCM", "121072"): "impression",
    ("DCM", "121073"): "impression",
    ("DCM", "121076"): "impression",
    ("DCM", "121077"): "impression",
    ("LN", "18783-1"): "recommendation",
    ("DCM", "121074"): "recommendation",
    ("DCM", "121075"): "recommendation",
    ("LN", "55107-7"): "addendum",
}
"""Report headings (PS3.16 CID 7001), their elements (CID 7002) and LOINC's section codes."""

SECTION_OF_WORD: Final = {
    "indication": "indication",
    "reason for study": "indication",
    "clinical information": "history",
    "clinical history": "history",
    "history": "history",
    "technique": "technique",
    "procedure": "technique",
    "comparison": "comparison",
    "findings": "findings",
    "finding": "findings",
    "description": "findings",
    "gdt": "findings",
    "body": "findings",
    "impression": "impression",
    "imp": "impression",
    "conclusion": "impression",
    "conclusions": "impression",
    "diagnosis": "impression",
    "recommendation": "recommendation",
    "recommendations": "recommendation",
    "rec": "recommendation",
    "addendum": "addendum",
    "adt": "addendum",
    "检查所见": "findings",
    "影像所见": "findings",
    "影像表现": "findings",
    "诊断意见": "impression",
    "诊断": "impression",
    "印象": "impression",
    "结论": "impression",
    "病史": "history",
    "检查方法": "technique",
    "建议": "recommendation",
}
"""What systems write in words where they have no code, in lower case."""


def section_of(scheme: str, value: str, meaning: str) -> str:
    """Section that a coded heading begins; empty where it is none of `HEADINGS`."""
    scheme = "LN" if scheme.upper() in ("LN", "LOINC", "2.16.840.1.113883.6.1") else scheme
    known = SECTION_OF_CODE.get((scheme, value.strip()))
    words = (value.rpartition("&")[2], meaning, value)
    return known or next(
        (
            SECTION_OF_WORD[w]
            for word in words
            if (w := word.strip(" :").lower()) in SECTION_OF_WORD
        ),
        "",
    )


def compose(parts: Iterable[tuple[str, str]]) -> str:
    """Make one text of the parts of a report.

    Parameters
    ----------
    parts
        Section (empty: none) and text of each, in order; a heading is written where the section
        changes, in the language of the text.
    """
    parts = [(section, text.strip("\n")) for section, text in parts if text.strip()]
    chinese = is_chinese("".join(text for _, text in parts))
    lines: list[str] = []
    last = ""
    for section, text in parts:
        if section and section != last:
            heading = HEADINGS[section][chinese]
            if not text.lstrip().upper().startswith(heading):
                lines += ["", heading + (chr(0xFF1A) if chinese else ":")]
            last = section
        lines.append(text)
    return "\n".join(lines).strip("\n")


def is_chinese(text: str) -> bool:
    """Whether more of a text is Chinese than Latin."""
    han = sum("\u4e00" <= character <= "\u9fff" for character in text)
    latin = sum(character.isascii() and character.isalpha() for character in text)
    # A Chinese word is a character or two, an English one has five letters.
    return han * 3 > latin
