"""What reading a source file yields besides its rows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from include.domain.model import Model
from include.domain.money import Money

CANONICAL_COLUMNS = (
    "invoice",
    "stock_code",
    "description",
    "quantity",
    "invoice_date",
    "price",
    "customer_id",
    "country",
)

_EXAMPLE_LIMIT = 100

DateKind = Literal["numeric", "named", "compact", "serial", "epoch_seconds", "epoch_milliseconds"]
Format = Literal["csv", "json", "jsonl", "pdf", "xlsx", "xls", "xlsb", "ods", "parquet"]
DateOrder = Literal["ymd", "mdy", "dmy"]
DateBasis = Literal["evidence", "convention", "setting"]


class LeftOut(Model):
    """Rows of one kind that are no records of sales and no mistake of the sender's.

    Attributes:
        what: Kind, such as `total row`, `repeated header` or `title row`.
        count: How many there are.
        first_line: Line of the first one, from 1.
        example: Its text, shortened.
    """

    what: str
    count: int
    first_line: int
    example: str


class FileDecisions(Model):
    """How one file is read: decided once for the whole file, never per row.

    Attributes:
        format: Kind of source.
        compression: Outer compression that was removed.
        encoding: Python codec name a text was decoded with (`utf-8`, `cp1252`, `utf-16`, ...).
        byte_order_mark: Whether the text began with a byte-order mark.
        delimiter: Field separator of a CSV file.
        header: Canonical column -> spelling found in the file.
        extra_columns: Columns of the file that are not canonical; kept in Bronze as JSON.
        date_kind: Form of `invoice_date`: day, month and year as digits, with the month's name, as one number of eight
            digits, a spreadsheet's serial number, or time since 1970.
        date_order: Order of year, month and day as digits.
        date_separator: Character between them.
        date_basis: `evidence` (values above 12 decide), `convention` (nothing was there to decide) or `setting`
            (RETAIL_DATE_ORDER).
        decimal_mark: Decimal mark of `quantity` and `price`.
        sheets: Names of the sheets of a workbook, in its order; the page of a row is the number of its sheet, from 1.
        sheet_columns: Sheet -> canonical column -> letters of its column there.
        profile: Name of the profile of its layout, None if the usual names of columns tell it.
        left_out: Rows that are no records: totals, footers, titles, repeated headers, and what a profile leaves out.
            Blank rows are not told.
        added_lines: Stock code -> lines that a profile made of amounts beside the goods, such as shipping.
        warnings: Sentences a person should read, such as an ambiguous date style.
    """

    format: Format
    compression: Literal["none", "gzip", "xz"] = "none"
    encoding: str | None = None
    byte_order_mark: bool = False
    delimiter: str | None = None
    header: dict[str, str] = Field(default_factory=dict)
    extra_columns: list[str] = Field(default_factory=list)
    date_kind: DateKind = "numeric"
    date_order: DateOrder = "ymd"
    date_separator: str = "-"
    date_basis: DateBasis = "evidence"
    decimal_mark: Literal[".", ","] = "."
    sheets: list[str] = Field(default_factory=list)
    sheet_columns: dict[str, dict[str, str]] = Field(default_factory=dict)
    profile: str | None = None
    left_out: list[LeftOut] = Field(default_factory=list)
    added_lines: dict[str, int] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)

    def cell(self, page: int | None, line: int, column: str | None) -> str | None:
        """Return sheet and address of a value of a workbook, such as `Sales!D17`; None if there is none.

        Args:
            page: Number of the sheet.
            line: Number of the row.
            column: Canonical column, None for the whole row.
        """
        sheet = self.sheets[page - 1] if self.sheets and page is not None else ""
        letters = self.sheet_columns.get(sheet, {}).get(column or "")
        return f"{sheet}!{letters}{line}" if letters else None

    def leave_out(self, what: str, line: int, text: str) -> None:
        """Count a row that is no record.

        Args:
            what: Kind of row.
            line: Where it stands.
            text: What it says; shortened.
        """
        for entry in self.left_out:
            if entry.what == what:
                entry.count += 1
                return
        example = text if len(text) <= _EXAMPLE_LIMIT else text[: _EXAMPLE_LIMIT - 1] + "…"
        self.left_out.append(LeftOut(what=what, count=1, first_line=line, example=example))


class SourceReading(Model):
    """Outcome of staging one file as Parquet.

    Attributes:
        rows: Records staged, defective ones included.
        defects: Count of defective records by code.
        amount: Exact sum of what the records are worth (the line's own amount, else quantity x price), over those where
            it can be told; of those in the base currency.
        foreign_amounts: Other currency -> the same of the records in it.
        seconds: Wall seconds spent.
    """

    decisions: FileDecisions
    rows: int
    defects: dict[str, int]
    amount: Money
    foreign_amounts: dict[str, Money] = Field(default_factory=dict)
    seconds: float


class SourceRejected(Exception):
    """The file as a whole cannot be read; nothing of it is loaded.

    Attributes:
        code: Stable reason code, snake_case.
        problem: One sentence a shopkeeper understands.
        remedy: One sentence that says what to do.
        line: Physical line (or page, for PDF) where it shows, if known.
        value: The offending text, shortened, if any.
        profile: Profile of the file's layout, if it fits one.
    """

    def __init__(
        self,
        code: str,
        problem: str,
        remedy: str,
        line: int | None = None,
        value: str | None = None,
        profile: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {problem} {remedy}")
        self.code = code
        self.problem = problem
        self.remedy = remedy
        self.line = line
        self.value = value
        self.profile = profile
