"""Every error the extractor raises on purpose.

NlpError
├── LexiconError    a lexicon, concept table or label set is wrong; the message says where
├── LabelSetError   there is no label set of that name; the message names those there are
└── TextError       the input is no report text; the message says what it is instead
"""

from __future__ import annotations


class NlpError(Exception):
    """Base of all errors the extractor raises on purpose."""


class LexiconError(NlpError):
    """A lexicon is wrong; the message names file, entry and problem."""


class LabelSetError(NlpError):
    """There is no label set of that name; the message names those there are."""


class TextError(NlpError):
    """The input is no report text; the message says what it is instead, never the text."""
