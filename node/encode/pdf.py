"""A result → Encapsulated PDF: one page that any archive keeps and any reader opens (PS3.3 A.45.1).

The page is the picture with what was measured, in text. Names in any script: the Adobe fonts
for Chinese, Japanese and Korean that readers bring with them are named, not embedded.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from engines.types import BuiltInResult, SegmentationResult
from node.domain import ObjectForm
from node.encode.case import Case, found_labels, missing_labels
from node.encode.encoded import Encoded
from node.encode.marking import statement
from node.encode.pen import UNIT_WORDS
from node.encode.picture import render_picture
from node.encode.reference import reference, start
from node.encode.text import text_value

_LATIN, _BOLD = "Helvetica", "Helvetica-Bold"
_SCRIPTS = (
    (range(0x3040, 0x3100), "HeiseiKakuGo-W5"),  # kana
    (range(0xAC00, 0xD7B0), "HYGothic-Medium"),  # hangul
    (range(0x2E80, 0xFFF0), "STSong-Light"),  # han and the rest of the East
)
_MARGIN, _LINE = 48, 14


def write_pdf(case: Case, result: BuiltInResult) -> list[Encoded]:
    """Encode a page with picture, numbers and statement; it names the patient, as a report does."""
    dataset = start(case, ObjectForm.PDF, "DOC")
    dataset.ConversionType = "WSD"
    dataset.BurnedInAnnotation = "YES"
    dataset.AcquisitionDateTime = ""
    dataset.DocumentTitle = f"{case.context.title}, AI, UNVERIFIED"[:1024]
    dataset.ConceptNameCodeSequence = []
    dataset.SourceInstanceSequence = [reference(image) for image in case.headers.images]
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    content = render_pdf(case, result)
    dataset.EncapsulatedDocumentLength = len(content)
    dataset.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    return [Encoded(ObjectForm.PDF, dataset)]


def render_pdf(case: Case, result: BuiltInResult) -> bytes:
    """Make the page; the same result gives the same bytes."""
    stream = BytesIO()
    page = Canvas(stream, pagesize=A4, invariant=1)
    page.setTitle(case.context.title)
    page.setCreator(f"Wetread {case.context.node_version}")
    width, height = A4
    y = height - _MARGIN
    for words, size in _heading(case):
        y = _write(page, words, y, size)
    picture = Image.fromarray(render_picture(result, case.source, case.context))
    wide = width - 2 * _MARGIN
    tall = min(wide * picture.height / picture.width, y - 3 * _MARGIN)
    wide = tall * picture.width / picture.height
    image = ImageReader(picture)
    page.drawImage(image, (width - wide) / 2, y - tall - 6, wide, tall)
    y -= tall + 24
    for words in _lines(case, result):
        if y < _MARGIN + _LINE:
            page.showPage()
            y = height - _MARGIN
        y = _write(page, words, y, 9)
    page.save()
    return stream.getvalue()


def _heading(case: Case) -> Iterator[tuple[str, int]]:
    identity = case.headers.identity
    yield case.context.title, 16
    who = (str(identity.get("PatientName", "") or "").replace("^", " "), identity.get("PatientID"))
    yield "Patient: " + ", ".join(str(part).strip() for part in who if part), 10
    study = [
        f"{caption} {value}"
        for caption, keyword in (("Accession", "AccessionNumber"), ("Study date", "StudyDate"))
        if (value := text_value(identity, keyword))
    ]
    yield "  ".join(study), 10
    yield "Made by an algorithm. UNVERIFIED by a person.", 10


def _lines(case: Case, result: BuiltInResult) -> Iterator[str]:
    if isinstance(result, SegmentationResult):
        for label in found_labels(result):
            numbers = [
                f"{found.name.replace('_', ' ')} {found.value:.6g} "
                f"{UNIT_WORDS.get(found.unit, found.unit)}".strip()
                for found in result.measurements
                if found.label == label.value
            ]
            yield f"{label.name}: {', '.join(numbers) or 'found'}"
        for label in missing_labels(result):
            yield f"{label.name}: not detected"
    else:
        yield f"{result.concept.meaning}: {result.predicted or 'indeterminate'}"
        for score in result.scores:
            yield f"    {score.name}: {100 * score.probability:.1f} %"
    yield ""
    yield statement(case.context)


def _write(page: Canvas, words: str, y: float, size: int) -> float:
    """Write one paragraph, wrapped, and return where the next begins."""
    wide = A4[0] - 2 * _MARGIN
    x: float = _MARGIN
    bold = size > 12
    for character in " ".join(words.split()):
        font = _font_of(character, bold=bold)
        shown = character if font not in (_LATIN, _BOLD) else _latin(character)
        step = pdfmetrics.stringWidth(shown, font, size)
        if x + step > _MARGIN + wide:
            x, y = _MARGIN, y - size * 1.35
        page.setFont(font, size)
        page.drawString(x, y, shown)
        x += step
    return y - size * 1.5


def _font_of(character: str, *, bold: bool) -> str:
    for script, name in _SCRIPTS:
        if ord(character) in script:
            if name not in pdfmetrics.getRegisteredFontNames():
                pdfmetrics.registerFont(UnicodeCIDFont(name))
            return name
    return _BOLD if bold else _LATIN


def _latin(character: str) -> str:
    """Keep what the standard fonts have; a question mark stands for the rest."""
    return character.encode("cp1252", "replace").decode("cp1252")
