"""PDF documents drawn for the tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, LongTable, Paragraph, SimpleDocTemplate

NAMES = ("Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country")
WIDTHS = (60, 60, 150, 50, 110, 50, 70, 100)
_STYLE = getSampleStyleSheet()["BodyText"].clone("cell", fontSize=8, leading=9)


def rows(count: int, description: str = "MEADOW MUG") -> list[list[str]]:
    """Return `count` sound rows; every third has a long description that wraps."""
    return [
        [
            str(536365 + index),
            f"{85000 + index}A",
            f"{description} NO {index}" + (" WITH A LONG NAME THAT NEEDS MORE THAN ONE LINE" if index % 3 == 0 else ""),
            str(index - 5),
            f"2010-12-{index % 28 + 1:02d} 08:26:00",
            f"{index}.25",
            f"{17850 + index}.0" if index % 4 else "",
            "United Kingdom",
        ]
        for index in range(count)
    ]


def table(
    body: Iterable[Sequence[str]],
    *,
    names: Sequence[str] = NAMES,
    widths: Sequence[float] = WIDTHS,
    ruled: bool = True,
    repeat: bool = True,
    align: str = "TOP",
    wrapped: int | None = 2,
    padding: float = 3,
) -> Flowable:
    style: list[tuple[Any, ...]] = [("FONTSIZE", (0, 0), (-1, -1), 8), ("VALIGN", (0, 0), (-1, -1), align)]
    style += [(f"{side}PADDING", (0, 0), (-1, -1), padding) for side in ("TOP", "BOTTOM")]
    if ruled:
        style.append(("GRID", (0, 0), (-1, -1), 0.5, colors.black))
    cells = [[Paragraph(text, _STYLE) if i == wrapped else text for i, text in enumerate(row)] for row in body]
    return LongTable([list(names), *cells], colWidths=list(widths), repeatRows=int(repeat), style=style)


def document(*story: Flowable, user_password: str | None = None) -> bytes:
    stream = BytesIO()
    encrypt = None
    if user_password is not None:
        encrypt = StandardEncryption(user_password, ownerPassword="owner", strength=128)
    SimpleDocTemplate(stream, pagesize=landscape(A4), encrypt=encrypt).build(list(story))
    return stream.getvalue()


def paragraph(text: str) -> Flowable:
    return Paragraph(text, _STYLE)


def drawn(*pages: Sequence[tuple[float, float, str]], size: float = 10) -> bytes:
    """Return pages with texts at (x from the left, y from the top); a negative x is a right edge."""
    stream = BytesIO()
    canvas = Canvas(stream, pagesize=A4)
    for page in pages:
        canvas.setFont("Helvetica", size)
        for x, y, text in page:
            if x < 0:
                canvas.drawRightString(-x, A4[1] - y, text)
            else:
                canvas.drawString(x, A4[1] - y, text)
        canvas.showPage()
    canvas.save()
    return stream.getvalue()
