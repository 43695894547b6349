"""What was done with a study → a page to look at, for viewers that show no reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from node.domain import ObjectForm
from node.encode.capture import describe_rgb, set_body_part, set_pixels
from node.encode.document import Author, mark_document
from node.encode.identity import identity
from node.encode.pen import AMBER, BACKGROUND, DIM, INK, Color, Pen, font
from node.encode.reference import begin
from node.encode.status import STATEMENT, RunState, StudyAccount, check_inputs, status_reference
from node.encode.view import RGB

_WIDTH = 1024
_MARGIN = 40
_TOP = 110
_INDENT = 28
_LEADING = 1.4
_MOST_LINES = 70
"""Of a page; the rest is counted, and stands on the node's status page."""

_COLOR_OF = {
    RunState.SUCCEEDED: INK,
    RunState.NOT_ELIGIBLE: DIM,
    RunState.FAILED: AMBER,
    RunState.PENDING: AMBER,
}


@dataclass(frozen=True)
class _Line:
    words: str
    size: int
    color: Color
    indent: int = 0

    @property
    def height(self) -> int:
        return round(self.size * _LEADING)


def write_status_picture(account: StudyAccount, header: Dataset, author: Author) -> Dataset:
    """Encode the account of a revision as a secondary capture.

    Parameters
    ----------
    header
        Of any instance of the study; patient and study are copied from it.

    Returns
    -------
    Dataset
        RGB, 1024 pixels wide. The text is burned in; none of it is about the patient.

    Raises
    ------
    PermanentError
        If the study has no instance that was looked at.
    """
    check_inputs(account)
    uids = status_reference(
        account.study_instance_uid,
        account.revision,
        final=account.final,
        form=ObjectForm.STATUS_SC,
    )
    page = render_status(account, author.prefix)
    dataset = begin(SecondaryCaptureImageStorage, uids.sop_instance_uid, "OT")
    dataset.SeriesInstanceUID = uids.series_instance_uid
    dataset.SeriesNumber = author.series_number
    dataset.InstanceNumber = account.instance_number
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    dataset.BurnedInAnnotation = "YES"
    dataset.PatientOrientation = None
    set_body_part(dataset, header)
    describe_rgb(dataset, page.shape[:2])
    set_pixels(dataset, page)
    mark_document(dataset, identity(header), author, account.complete_at, "study status")
    return dataset


def render_status(account: StudyAccount, prefix: str) -> RGB:
    """Draw the page: uint8, shape (rows, 1024, 3), RGB."""
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    lines = list(_wrapped(measure, _lines(account)))
    if len(lines) > _MOST_LINES:
        rest = len(lines) - _MOST_LINES
        more = _Line(f"and {rest} more lines: see the node's status page", 17, DIM)
        lines = [*lines[:_MOST_LINES], more]
    height = _TOP + sum(line.height for line in lines) + _MARGIN
    image = Image.new("RGB", (_WIDTH, height + height % 2), BACKGROUND)
    pen = Pen(ImageDraw.Draw(image))
    pen.text((_MARGIN, 36), f"{prefix} study status", 32, INK, width=_WIDTH - 320)
    pen.badge(_WIDTH - _MARGIN, 36, "UNVERIFIED", 20)
    y = _TOP
    for line in lines:
        pen.text((_MARGIN + line.indent, y), line.words, line.size, line.color)
        y += line.height
    return np.asarray(image, dtype=np.uint8)


def _lines(account: StudyAccount) -> Iterator[_Line]:
    yield _Line(account.summary.meaning if account.final else "Pending", 24, INK)
    yield _Line(f"Study revision {account.revision}: {account.complete_reason}", 17, DIM)
    yield _Line("", 10, DIM)
    for run in account.runs:
        color = _COLOR_OF[run.state]
        yield _Line(f"{run.model} {run.model_version}: {run.state.value}", 20, color)
        if run.reason:
            yield _Line(run.reason, 17, DIM, _INDENT)
    if account.not_run:
        yield _Line("", 10, DIM)
        yield _Line("Not attempted", 20, AMBER)
    for sentence in account.not_run:
        yield _Line(sentence, 17, DIM, _INDENT)
    yield _Line("", 10, DIM)
    yield _Line(STATEMENT, 17, INK)


def _wrapped(measure: ImageDraw.ImageDraw, lines: Iterator[_Line]) -> Iterator[_Line]:
    """Break lines where the page ends, between words or, in a long one, inside it."""
    for line in lines:
        room = _WIDTH - 2 * _MARGIN - line.indent
        words = line.words
        while measure.textlength(words, font=font(line.size)) > room:
            fits = len(words)
            while fits > 1 and measure.textlength(words[:fits], font=font(line.size)) > room:
                fits -= max(1, fits // 20)
            end = words.rfind(" ", 0, fits + 1)
            end = end if end > 0 else fits
            yield _Line(words[:end], line.size, line.color, line.indent)
            words = words[end:].lstrip()
        yield _Line(words, line.size, line.color, line.indent)
