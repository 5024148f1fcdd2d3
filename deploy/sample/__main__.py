"""Write a sample file: `python -m deploy.sample --rows 1000 --start 2011-01-04 --format csv --out sample.csv`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Option

from deploy.sample import SampleError, SampleStyle, generate_lines, write_sample
from deploy.sample.writing import DateStyle, Format, HeaderStyle, LineEnd, PdfLayout

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    out: Annotated[Path, Option(help="File to write; .gz and .xz are compressed.")],
    rows: Annotated[int, Option(help="Invoice lines to make.")] = 1000,
    seed: Annotated[int, Option(help="The same seed makes the same lines.")] = 7,
    start: Annotated[datetime, Option(help="First day.", formats=["%Y-%m-%d"])] = datetime(2011, 1, 4),
    days: Annotated[int, Option(help="Days to spread the lines over.")] = 1,
    form: Annotated[Format, Option("--format")] = "csv",
    encoding: Annotated[str, Option(help="Such as utf-8, cp1252, utf-16.")] = "utf-8",
    bom: Annotated[bool, Option("--bom", help="Begin a UTF-8 file with a byte-order mark.")] = False,
    delimiter: Annotated[str, Option(help="Of a CSV file; `tab` is one, too.")] = ",",
    line_end: LineEnd = "lf",
    date_style: DateStyle = "iso",
    header_style: HeaderStyle = "classic",
    decimal_mark: Literal[".", ","] = ".",
    integer_customers: Annotated[bool, Option("--integer-customers", help="Write 13085 instead of 13085.0.")] = False,
    pdf_layout: PdfLayout = "ruled",
    defects: Annotated[bool, Option(help="Include a few lines that will be quarantined.")] = True,
) -> None:
    """Write made-up invoice lines of the same shape, and with the same oddities, as an online shop's real export."""
    style = SampleStyle(
        encoding=encoding,
        byte_order_mark=bom,
        delimiter="\t" if delimiter == "tab" else delimiter,
        line_end=line_end,
        date_style=date_style,
        header_style=header_style,
        decimal_mark=decimal_mark,
        float_customers=not integer_customers,
        pdf_layout=pdf_layout,
        defects=defects,
    )
    try:
        write_sample(generate_lines(rows, seed, start.date(), days, defects=defects), out, form, style)
    except (SampleError, OSError, UnicodeEncodeError, LookupError) as error:
        typer.echo(f"No sample was made: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{rows} lines written to {out}")


if __name__ == "__main__":
    app(prog_name="python -m deploy.sample")
