"""Every reason a source file or a record is kept out: what is wrong, and what its sender can do about it.

`DEFECTS` is the one table. Rejections of whole files are made from it by `reject`; the quarantine report looks up the
codes that staging puts on records. `docs/sources.md` lists the same codes.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from include.sources.model import SourceRejected

VALUE_LIMIT = 200
"""Characters of an offending value that a report shows."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A reason code with its sentences.

    Attributes:
        scope: `file` when nothing of the file is loaded, `record` when the other records are.
        problem: What is wrong; `{...}` fields of file defects are filled in by `reject`.
        remedy: What the sender can do.
    """

    scope: Literal["file", "record"]
    problem: str
    remedy: str


DEFECTS: dict[str, Defect] = {
    "empty_file": Defect(
        "file",
        "The file is empty.",
        "Export it again and check its size before dropping it.",
    ),
    "not_text": Defect(
        "file",
        "The content is binary data, not a table in text form.",
        "Export the data as CSV (UTF-8), JSON, Excel or PDF; renaming a file does not convert it.",
    ),
    "unsupported_type": Defect(
        "file",
        "The content is {kind}, which cannot be read.",
        "{advice}",
    ),
    "missing_columns": Defect(
        "file",
        "The columns {missing} are missing; the columns found are {found}.",
        "Name the columns in one line above the records, or the fields in each JSON record. "
        "Names that are understood, among others: {accepted}.",
    ),
    "duplicate_columns": Defect(
        "file",
        "Columns have the same meaning, so it is unclear which one counts: {clashes}.",
        "Keep one of each and drop the file again.",
    ),
    "broken_profile": Defect(
        "file",
        "A source profile cannot be used, so it is unclear how files are to be read: {problem}.",
        "Mend the profile or take it out of the folder of profiles, and drop the file again.",
    ),
    "ambiguous_profile": Defect(
        "file",
        "The file fits several profiles equally well: {names}.",
        "Make one of them recognise more columns, or tell the files apart by their names under recognise.files.",
    ),
    "mixed_profiles": Defect(
        "file",
        "The sheet {sheet} has another layout than the sheets before it.",
        "Drop the sheets as files of their own.",
    ),
    "profile_columns": Defect(
        "file",
        "The columns are not those that profile {profile} declares, and it is strict: {told}.",
        "Ask the sender what has changed; then name the columns in the profile, or set strict: false.",
    ),
    "changed_header": Defect(
        "file",
        "The column names stand again in the middle of the file, in another order.",
        "Split the file there, so that each file has one order of columns.",
    ),
    "header_too_long": Defect(
        "file",
        "A line above the table is longer than {limit} bytes, so the column names cannot be read.",
        "Check that the file has line breaks and a line with the column names.",
    ),
    "truncated_json": Defect(
        "file",
        "The JSON ends in the middle: the list that begins the file is never closed.",
        "The file was probably cut off while it was copied; export or copy it again.",
    ),
    "invalid_json": Defect(
        "file",
        "The text is not valid JSON: {detail}.",
        "Export it again as a JSON list of objects, or as JSON lines (one object a line).",
    ),
    "text_after_json": Defect(
        "file",
        "More text follows after the end of the JSON.",
        "Put several records into one list, in [ and ] and parted by commas, or write one object on each line, without "
        "commas, and name the file .jsonl.",
    ),
    "unnamed_values": Defect(
        "file",
        "The JSON is a list of lists, so the values have no names.",
        'Write a list of objects with named fields; in pandas: to_json(..., orient="records").',
    ),
    "ambiguous_json": Defect(
        "file",
        "More than one list of the JSON may hold the invoice lines: {paths}.",
        "Leave only the list with the lines that are to be loaded, or drop each list as its own file.",
    ),
    "json_too_large": Defect(
        "file",
        "The JSON is not a list of objects, and with more than {limit} characters it is too long to be read otherwise.",
        'Write a list of objects, or one object on each line; in pandas: to_json(..., orient="records").',
    ),
    "json_record_too_long": Defect(
        "file",
        "One record of the JSON list is longer than {limit} bytes.",
        "Check that the list holds one object per invoice line, or raise RETAIL_MAX_LINE_BYTES.",
    ),
    "truncated_archive": Defect(
        "file",
        "The compressed file ends too early.",
        "It was probably cut off while it was copied; compress or copy it again.",
    ),
    "corrupt_archive": Defect(
        "file",
        "The compressed file is damaged: {detail}.",
        "Compress the data again, or drop it uncompressed.",
    ),
    "archive_too_large": Defect(
        "file",
        "The compressed file unpacks to more than {limit}.",
        "Drop the data uncompressed, or split it into smaller files.",
    ),
    "encrypted_archive": Defect(
        "file",
        "The files in the archive are protected by a password.",
        "Pack them without a password and drop that.",
    ),
    "unsafe_archive": Defect(
        "file",
        "A file in the archive {problem}.",
        "Pack the files again, each once, under plain names and without links.",
    ),
    "empty_archive": Defect(
        "file",
        "There are no files in the archive.",
        "Check what was packed, and drop it again.",
    ),
    "nested_archive": Defect(
        "file",
        "The content is a ZIP archive inside another archive.",
        "Unpack the inner archive and drop the files in it, or pack them into one archive.",
    ),
    "several_files": Defect(
        "file",
        "The archive holds {count} files, and only one is looked at a time.",
        "Unpack it and look at each file by itself; all of them can be dropped as one archive.",
    ),
    "corrupt_workbook": Defect(
        "file",
        "The workbook is damaged and cannot be opened: {detail}.",
        "Open it in a spreadsheet program and save it again, or ask the sender for a new copy.",
    ),
    "encrypted_workbook": Defect(
        "file",
        "The workbook is protected by a password.",
        "Save a copy without a password and drop that.",
    ),
    "sheet_too_large": Defect(
        "file",
        "The sheet reaches to row {rows} of column {column}, which is more than can be read.",
        "Delete the rows and columns beyond the table, even if they seem empty, or save the table as CSV (UTF-8).",
    ),
    "corrupt_parquet": Defect(
        "file",
        "The Parquet file is damaged, encrypted or of an unknown kind, and cannot be read: {detail}.",
        "Write it again without encryption, or export the data as CSV (UTF-8).",
    ),
    "unreadable_column": Defect(
        "file",
        "The column {name} holds values of the type {type}, which are no plain texts, numbers or dates.",
        "Write one row per invoice line with a plain value in each column, or leave the column out.",
    ),
    "corrupt_pdf": Defect(
        "file",
        "The PDF is damaged and cannot be opened: {detail}.",
        "Open it in a PDF viewer and print it to PDF again, or ask the sender for a new copy.",
    ),
    "encrypted_pdf": Defect(
        "file",
        "The PDF is protected by a password.",
        "Save a copy without a password and drop that.",
    ),
    "image_only_pdf": Defect(
        "file",
        "Page {page} of the PDF is a picture, such as a scan, and holds no text.",
        "Drop the original document instead of the scan, or run text recognition (OCR) on it and check the result.",
    ),
    "no_table_in_pdf": Defect(
        "file",
        "The PDF has text but no table of invoice lines.",
        "The table needs a header line with at least the columns {columns}.",
    ),
    "ambiguous_dates": Defect(
        "file",
        "Nothing in the file tells whether its dates are day first or month first: the first may be {readings}.",
        "Set RETAIL_DATE_ORDER to day_first or month_first and drop the file again, or export dates as 2010-12-31.",
    ),
    "ambiguous_numbers": Defect(
        "file",
        "Nothing in the file tells whether the point or comma of its numbers marks decimals or thousands.",
        "Set RETAIL_DECIMAL_MARK to point or comma and drop the file again, or export numbers without thousands marks.",
    ),
    "unexplained_currency": Defect(
        "file",
        "{column} says {values}, but amounts are taken for {base}.",
        "Export the amounts in {base}: money of another currency is never guessed.",
    ),
    "total_differs": Defect(
        "file",
        "{column} differs from quantity x price on {rows} lines: on the first of them {example}.",
        "If the price column holds the line's total, export unit prices; if a discount or tax makes the difference, "
        "export prices after it. Leave the column out if it does not count.",
    ),
    "unreadable_total": Defect(
        "file",
        "{column} holds what is no number, or one too large, on {rows} lines, so it cannot be compared with quantity x "
        "price.",
        "Write line totals as plain numbers, or leave the column out if it does not count.",
    ),
    "unexplained_amounts": Defect(
        "file",
        "{column} holds amounts on {rows} lines, and nothing says whether the prices are before or after them.",
        "Add the line's total as a column Total, export prices after it and leave the column out, or write it as a "
        "line of its own.",
    ),
    "unexplained_status": Defect(
        "file",
        "{column} says {values}, and nothing says which of these lines count as sales.",
        "Export only what was sold, and returns with a negative quantity, or leave the column out if all of it counts.",
    ),
    "unexplained_document_type": Defect(
        "file",
        "{column} says {values}, but the amounts of these lines are positive as those of sales.",
        "Export them with a negative quantity, or leave out what is no sale.",
    ),
    "too_few_columns": Defect(
        "record",
        "The line has fewer values than the header has columns.",
        "Complete the line; a missing value still needs its separator.",
    ),
    "too_many_columns": Defect(
        "record",
        "The line has more values than the header has columns.",
        "If a value contains the separator, put it in double quotes.",
    ),
    "unbalanced_quote": Defect(
        "record",
        "A double quote is opened and not closed properly, so it is unclear where the value ends.",
        'Remove the stray quote, or write a quote inside a quoted value twice ("").',
    ),
    "nul_byte": Defect(
        "record",
        "The record contains NUL characters, a sign of a damaged file.",
        "Export the record again from its source.",
    ),
    "undecodable_bytes": Defect(
        "record",
        "The record contains bytes that are no characters in the encoding of the file.",
        "Export the file again as UTF-8, or correct the value.",
    ),
    "line_too_long": Defect(
        "record",
        "The line is longer than the limit for one line.",
        "Check for missing line breaks; RETAIL_MAX_LINE_BYTES sets the limit.",
    ),
    "invalid_json_line": Defect(
        "record",
        "The line is not complete, valid JSON.",
        "Write one whole JSON object on each line.",
    ),
    "comma_after_json": Defect(
        "record",
        "A comma follows the JSON object on the line.",
        "Remove the commas at the ends of the lines, or put the records into one list in [ and ].",
    ),
    "text_after_json_line": Defect(
        "record",
        "More text follows after the end of the JSON object on the line.",
        "Write one JSON object, and nothing else, on each line.",
    ),
    "not_an_object": Defect(
        "record",
        "The record is not a JSON object with named fields.",
        'Write each record as {"invoice": ..., "stock_code": ..., ...}.',
    ),
    "nested_value": Defect(
        "record",
        "A field that should be text or a number holds a list, an object or true/false.",
        "Write one plain text or number into the field; of several, write a record each.",
    ),
    "duplicate_field": Defect(
        "record",
        "The record has two fields with the same meaning, so it is unclear which one counts.",
        "Keep one of the two.",
    ),
    "unknown_status": Defect(
        "record",
        "The row has a status that the profile does not know, so it is unclear whether it is a sale.",
        "List the status in the profile: under counts, left_out or reversed.",
    ),
    "unreadable_amount": Defect(
        "record",
        "An amount, such as that of the line, shipping, tax or the total, is no number that can be kept exactly.",
        "Correct the amount and drop the line again.",
    ),
    "conflicting_charge": Defect(
        "record",
        "The lines of the invoice name different amounts for what the profile calls a sum of the whole invoice.",
        "Correct the amounts, or say per: line in the profile.",
    ),
    "several_currencies": Defect(
        "record",
        "The invoice has lines in several currencies, and a total or charge of the whole invoice.",
        "Split the invoice by currency, or say per: line in the profile.",
    ),
    "invoice_total_differs": Defect(
        "record",
        "The lines of the invoice, with discounts, shipping and taxes, do not add up to its total.",
        "Check the invoice; if the file is right, the profile misses an amount: name its column under charges.",
    ),
    "amount_without_quantity": Defect(
        "record",
        "The line costs something but has a quantity of 0, so there is no price of one unit.",
        "Give the quantity and drop the line again.",
    ),
    "amount_contradicts_quantity": Defect(
        "record",
        "The quantity is negative, as of goods that came back, but the amount is positive.",
        "Correct the sign of one of them; if the file is always so, let the profile say {minus: ...} or {abs: ...}.",
    ),
    "unknown_currency": Defect(
        "record",
        "It is unclear in which currency the line is: there is no code of ISO 4217, or $ without saying which.",
        "Give the code, such as USD, in the column of the currency or under defaults in the profile.",
    ),
    "currency_contradicts": Defect(
        "record",
        "The signs beside the amounts are of another currency than the one the line is said to be in.",
        "Correct the line and drop it again.",
    ),
}


def reject(code: str, *, line: int | None = None, value: str | None = None, **details: object) -> SourceRejected:
    """Return the exception that rejects a file for a reason of `DEFECTS`.

    Args:
        code: Key of a file-level defect.
        line: Physical line, or page of a PDF, where it shows.
        value: The offending text; it is shortened.
        details: What the `{...}` fields of the sentences stand for.
    """
    defect = DEFECTS[code]
    return SourceRejected(
        code,
        defect.problem.format(**details),
        defect.remedy.format(**details),
        line,
        shortened(value) if value is not None else None,
    )


def shortened(text: str, limit: int = VALUE_LIMIT) -> str:
    """Return `text`, cut to `limit` characters with an ellipsis if it is longer."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


UNDECLARED = frozenset(
    {
        "missing_columns",
        "total_differs",
        "unexplained_amounts",
        "unexplained_status",
        "unexplained_document_type",
        "unexplained_currency",
    }
)
"""Codes of files whose layout a profile could declare."""

DECLARE = "Or declare the layout: make profile FILE="
IN_PROFILE = "Or say in profile {profile} what it is: under charges, total, statuses or ignored."
"""What their remedies end in: of a file without a declared layout, and of one that fits a profile."""


def with_profile_advice(rejection: SourceRejected, name: str, profile: str | None) -> SourceRejected:
    """Return a rejection that also says how a profile helps, if one does.

    Args:
        rejection: Of a file that is no PDF.
        name: Name of the file.
        profile: Profile that the file fits, if any.
    """
    remedy = rejection.remedy
    if rejection.code in UNDECLARED and profile is None:
        remedy += f" {DECLARE}{shlex.quote(PurePath(name).name)}"
    elif rejection.code in UNDECLARED:
        remedy += f" {IN_PROFILE.format(profile=profile)}"
    return SourceRejected(rejection.code, rejection.problem, remedy, rejection.line, rejection.value, profile)
