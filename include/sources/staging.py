"""One source file -> one Parquet file of raw text rows, with everything that was decided about it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

from include.files import replacing
from include.sources.canonical import StagedValues, currencies, dates_changed, numbers_changed
from include.sources.compression import UnpackLimits, unpacked
from include.sources.csv_reader import read_csv
from include.sources.currency import candidates, line_currencies
from include.sources.dates import DateSetting
from include.sources.defects import reject, with_profile_advice
from include.sources.detection import is_zip_of_files, kind_of, text_format
from include.sources.guard import check_money_columns, check_other_currencies, columns_of
from include.sources.json_reader import read_json, read_json_lines
from include.sources.model import FileDecisions, SourceReading, SourceRejected
from include.sources.numbers import MarkSetting, NumberStyle, decide_numbers
from include.sources.profiles.lines import make_lines
from include.sources.profiles.names import Layouts
from include.sources.profiles.rows import check_columns
from include.sources.staged import Batch, StagedWriter
from include.sources.text import encoding_of
from include.sources.zip_archive import unpack

MAX_LINE_BYTES = 1 << 20

LONDON = ZoneInfo("Europe/London")

_READERS = {"csv": read_csv, "json": read_json, "jsonl": read_json_lines}


def stage_file(
    path: Path,
    name: str,
    out: Path,
    *,
    date_order: DateSetting = "auto",
    decimal_mark: MarkSetting = "auto",
    zone: ZoneInfo = LONDON,
    base_currency: str = "GBP",
    max_line_bytes: int = MAX_LINE_BYTES,
    limits: UnpackLimits | None = None,
    layouts: Layouts | None = None,
) -> SourceReading:
    """Read a source file and write its records, as text, to one Parquet file.

    Args:
        path: The file; it is not changed.
        name: Its name as dropped, a hint for its type.
        out: Parquet file to make (`staged.SCHEMA`); replaced as a whole.
        date_order: How to read dates where the file gives no evidence.
        decimal_mark: How to read numbers where the file gives no evidence.
        zone: The shop's, to which moments with an offset are brought.
        base_currency: Code of the currency that lines are in which name none.
        max_line_bytes: Longest physical line or JSON record that is read, in bytes.
        limits: How much a compressed file may unpack to.
        layouts: Those the file may have; by default the one with the usual column names.

    Returns:
        The decisions, the number of records and of defective ones, and their exact amounts by currency.

    Raises:
        SourceRejected: If nothing of the file can be loaded; `out` is then left as it was.
        OSError: If a file cannot be read or written.
    """
    started = time.perf_counter()
    layouts = replace(layouts or Layouts(), file=name)
    reading = opened(path, name, out.parent, max_line_bytes, layouts, limits)
    with reading as (decisions, batches), replacing(out) as partial:
        with StagedWriter(partial) as writer:
            for batch in batches:
                writer.write(batch)
        if not writer.rows:
            names = "column names but " if decisions.header else ""
            decisions.warnings.append(f"The file has {names}no records.")
        with StagedValues(partial) as values:
            rows, defects = writer.rows, dict(sorted(writer.defects.items()))
            unexplained = decisions.extra_columns
            profile = layouts.profiles[decisions.profile] if decisions.profile else None
            if profile is not None:
                profile = profile.with_settings(date_order, decimal_mark)
                date_order, decimal_mark = profile.values.date_order, profile.values.decimal_mark
                unexplained = profile.unexplained(unexplained)
                check_columns(profile, decisions)
            if profile is None or profile.only_names:
                _bring_to_one_form(values, decisions, unexplained, date_order, decimal_mark, zone, base_currency)
            else:
                rows, defects = make_lines(values, profile, decisions, zone, base_currency)
                _refuse_unexplained_currency(values, unexplained, base_currency)
                if profile.columns.currency is None and "currency" not in profile.defaults:
                    check_other_currencies(values, unexplained, base_currency)
                decisions.warnings += check_money_columns(values, unexplained, NumberStyle(decisions.decimal_mark))
            amounts = values.amounts(base_currency)
    return SourceReading(
        decisions=decisions,
        rows=rows,
        defects=defects,
        amount=amounts.pop(base_currency, Decimal(0)),
        foreign_amounts=amounts,
        seconds=round(time.perf_counter() - started, 3),
    )


@contextmanager
def opened(
    path: Path,
    name: str,
    scratch: Path,
    max_line_bytes: int,
    layouts: Layouts,
    limits: UnpackLimits | None = None,
) -> Iterator[tuple[FileDecisions, Iterator[Batch]]]:
    """Yield what is known of a file before it is read, and its rows; reading them completes the decisions.

    Args:
        path: The file.
        name: Its name as dropped, a hint for its type.
        scratch: Folder for what is unpacked; made if absent.
        max_line_bytes: As for `stage_file`.
        layouts: Those the file may have.
        limits: As for `stage_file`.

    Raises:
        SourceRejected: If the file cannot be read; in the block, with what a profile can do about it.
    """
    limits = limits or UnpackLimits()
    if layouts.problem:
        raise reject("broken_profile", problem=layouts.problem)
    _refuse_bad_archive(path, scratch, limits)
    with unpacked(path, scratch, limits) as (plain, compression):
        decisions, batches = _open(plain, name, max_line_bytes, limits, layouts)
        decisions.compression = compression
        try:
            yield decisions, batches
        except SourceRejected as error:
            if decisions.format == "pdf":
                raise
            raise with_profile_advice(error, name, decisions.profile) from error


def _refuse_unexplained_currency(values: StagedValues, names: Sequence[str], base: str) -> None:
    """Refuse a file with a column of currencies that its profile does not explain, unless it says the base currency."""
    columns = columns_of("currency", names)
    if columns and line_currencies(values, columns, {}, base) is not None:
        raise reject("unexplained_currency", column=", ".join(columns), values="another currency", base=base)


def _bring_to_one_form(
    values: StagedValues,
    decisions: FileDecisions,
    extra_columns: Sequence[str],
    date_order: DateSetting,
    decimal_mark: MarkSetting,
    zone: ZoneInfo,
    base: str,
) -> None:
    """Decide how the file writes its values and write them in the one form.

    `extra_columns` are those that may change the money as far as is known.
    """
    dates, quantities, prices = (values.distinct(column) for column in ("invoice_date", "quantity", "price"))
    changed_dates = dates_changed(dates, decisions, date_order, zone)
    number_style = decide_numbers(prices | quantities, decisions, decimal_mark)
    price_numbers = numbers_changed(prices, number_style)
    columns = columns_of("currency", extra_columns)
    unclear = {
        sign: count
        for sign, count in currencies(prices, price_numbers).items()
        if len(found := candidates(sign, base)) != 1 and not (found and columns)
    }
    if unclear:
        signs = ", ".join(f"{sign} on {count} lines" for sign, count in unclear.items())
        if sum(unclear.values()) == sum(prices.values()):
            raise reject("unexplained_currency", column="price", values=signs, base=base)
        decisions.warnings.append(
            f"Prices have a currency that is not known or not clear ({signs}); those lines are kept out."
        )
    price_signs = {
        text: number.currency
        for text, number in price_numbers.items()
        if number.currency is not None and number.currency not in unclear
    }
    if not (columns or price_signs):
        check_other_currencies(values, extra_columns, base)
    of_lines = line_currencies(values, columns, price_signs, base) if columns or price_signs else None
    values.rewrite(
        {
            "invoice_date": changed_dates,
            "quantity": {
                text: number.text
                for text, number in numbers_changed(quantities, number_style).items()
                if number.currency is None
            },
            "price": {text: number.text for text, number in price_numbers.items() if number.currency not in unclear},
        },
        of_lines,
    )
    decisions.warnings += check_money_columns(values, extra_columns, number_style)


def _refuse_bad_archive(path: Path, folder: Path, limits: UnpackLimits) -> None:
    """Say what is wrong with a ZIP archive that could not be unpacked when it was claimed.

    Raises:
        SourceRejected: As `unpack`.
    """
    if is_zip_of_files(path):
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".unpacked-") as scratch:
            unpack(path, Path(scratch), limits)


def _open(
    plain: Path, name: str, max_line_bytes: int, limits: UnpackLimits, layouts: Layouts
) -> tuple[FileDecisions, Iterator[Batch]]:
    """Return what is known before reading, and the batches; reading them completes the decisions.

    The libraries of a format are imported with the first file of it: other files need not wait for them.
    """
    kind = kind_of(plain)
    if kind == "zip":
        raise reject("nested_archive")
    if kind == "text":
        encoding = encoding_of(plain)
        decisions = FileDecisions(
            format=text_format(plain, encoding, name),
            encoding=encoding.name,
            byte_order_mark=encoding.byte_order_mark,
            warnings=list(encoding.warnings),
        )
        read = _READERS[decisions.format]
        return decisions, read(plain, encoding, max_line_bytes, decisions, layouts)
    decisions = FileDecisions(format=kind)
    if kind == "pdf":
        from include.sources.pdf.reader import read_pdf

        return decisions, read_pdf(plain, decisions)
    if kind == "parquet":
        from include.sources.parquet_reader import read_parquet

        return decisions, read_parquet(plain, decisions, layouts)
    from include.sources.workbook_reader import read_workbook

    return decisions, read_workbook(plain, decisions, limits, layouts)
