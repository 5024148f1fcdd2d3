"""What stands where on the pages of a PDF: lines of words, and tables with rules."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pdfplumber
from pdfminer.pdfdocument import PDFEncryptionError, PDFPasswordIncorrect
from pdfminer.psexceptions import PSException
from pdfplumber.utils.exceptions import MalformedPDFException, PdfminerException

from include.sources.defects import reject, shortened

WORD_GAP = 0.6
"""Widest gap between words of one phrase, in heights of their line."""

_BROKEN_PDF = (
    PdfminerException,
    MalformedPDFException,
    PSException,
    struct.error,
    zlib.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What pdfminer raises on damaged documents: its own errors, and those that its wrong assumptions lead to."""

_TAIL_BYTES = 2_048
_LETTER_GAP = 0.15
_SCAN_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Word:
    """A word and its box, in points from the left and from the top of the page."""

    text: str
    x0: float
    x1: float
    top: float
    bottom: float

    @property
    def center(self) -> float:
        """Its x."""
        return (self.x0 + self.x1) / 2

    @property
    def middle(self) -> float:
        """Its y."""
        return (self.top + self.bottom) / 2

    @property
    def height(self) -> float:
        """Its height."""
        return self.bottom - self.top


@dataclass(slots=True)
class Line:
    """Words on one base line, from left to right."""

    words: list[Word]

    @property
    def top(self) -> float:
        """Top of the highest word."""
        return min(word.top for word in self.words)

    @property
    def bottom(self) -> float:
        """Bottom of the lowest word."""
        return max(word.bottom for word in self.words)

    @property
    def height(self) -> float:
        """Height of the tallest word."""
        return max(word.height for word in self.words)

    @property
    def text(self) -> str:
        """The words; two spaces stand for a gap wider than between words."""
        parts = [self.words[0].text]
        for left, right in pairwise(self.words):
            parts += ["  " if right.x0 - left.x1 > WORD_GAP * self.height else " ", right.text]
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Grid:
    """A table with rules: its box (left, top, right, bottom) and the text of its cells."""

    box: tuple[float, float, float, float]
    rows: list[list[str | None]]

    @property
    def top(self) -> float:
        """Its upper edge."""
        return self.box[1]

    def holds(self, word: Word) -> bool:
        """Return whether a word stands inside."""
        left, top, right, bottom = self.box
        return left <= word.center <= right and top <= word.middle <= bottom


@dataclass(frozen=True, slots=True)
class Page:
    """A page, detached from pdfplumber so that its own page can be closed."""

    number: int
    lines: list[Line]
    grids: list[Grid]

    def lines_outside(self, grids: Sequence[Grid]) -> list[Line]:
        """Return the lines without the words inside `grids`."""
        return [
            Line(words)
            for line in self.lines
            if (words := [word for word in line.words if not any(grid.holds(word) for grid in grids)])
        ]


def pages(path: Path) -> Iterator[Page]:
    """Yield the pages of a document one at a time.

    Raises:
        SourceRejected: encrypted_pdf, corrupt_pdf, image_only_pdf.
    """
    _check_end(path)
    try:
        document = pdfplumber.open(path)
    except _BROKEN_PDF as error:
        cause = error.args[0] if error.args else error
        if isinstance(cause, PDFPasswordIncorrect | PDFEncryptionError):
            raise reject("encrypted_pdf") from error
        raise reject("corrupt_pdf", detail=_reason(cause)) from error
    with document:
        try:
            found = document.pages
        except _BROKEN_PDF as error:
            raise reject("corrupt_pdf", detail=_reason(error)) from error
        if not found:
            raise reject("corrupt_pdf", detail="it has no pages")
        for number, page in enumerate(found, start=1):
            try:
                content = _content(page, number)
            except _BROKEN_PDF as error:
                raise reject("corrupt_pdf", line=number, detail=_reason(error)) from error
            finally:
                page.close()
            yield content


def _check_end(path: Path) -> None:
    """Refuse a document without its end mark: the readable part of it would load as if it were the whole."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        if b"%%EOF" not in stream.read():
            raise reject("corrupt_pdf", detail="its end is missing")


def _reason(cause: object) -> str:
    return f"{type(cause).__name__} {shortened(str(cause), 80)}".strip()


def _content(page: Any, number: int) -> Page:
    """Return the text lines and ruled tables of a pdfplumber page."""
    if not page.chars:
        area = float(page.width * page.height)
        if any(image["width"] * image["height"] > _SCAN_SHARE * area for image in page.images):
            raise reject("image_only_pdf", line=number, page=number)
        return Page(number, [], [])
    words = [
        Word(word["text"], float(word["x0"]), float(word["x1"]), float(word["top"]), float(word["bottom"]))
        for word in page.extract_words(x_tolerance_ratio=_LETTER_GAP, keep_blank_chars=False)
    ]
    grids = [Grid(table.bbox, table.extract(x_tolerance_ratio=_LETTER_GAP)) for table in page.find_tables()]
    return Page(number, _lines(words), grids)


def _lines(words: Sequence[Word]) -> list[Line]:
    """Return the words gathered into lines, top to bottom."""
    lines: list[Line] = []
    for word in sorted(words, key=lambda word: word.middle):
        last = lines[-1].words if lines else []
        if last and abs(word.middle - last[0].middle) <= 0.4 * min(word.height, last[0].height):
            last.append(word)
        else:
            lines.append(Line([word]))
    for line in lines:
        line.words.sort(key=lambda word: word.x0)
    return lines
