"""Where the table is: titles above it, totals and footers below, the header again, a date and a time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.sources.layout import says_total
from tests.support.source_files import HEADER, Reject, Stage, Staged, csv_lines, text_of

LINE = "536365,85123A,MEADOW MUG,6,2010-12-01 08:26:00,2.55,17850,France"
OTHER = "536366,85123B,TOTAL CARE SOAP,1,2010-12-01 08:26:00,3.00,17850,France"


def left_out(staged: Staged) -> list[tuple[str, int, int]]:
    return [(entry.what, entry.count, entry.first_line) for entry in staged.reading.decisions.left_out]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("block", [16, 4 << 20])
@pytest.mark.parametrize(
    ("above", "told"),
    [
        (["Retail Shop Ltd", "Sales by Item; all shops", "", "January - March 2024"], [("title row", 3, 1)]),
        (["Sales report,,,,,,,", ",,,,,,,", "Generated 2011-01-01,,,,,,,"], [("title row", 3, 1)]),
        (["", "Invoice;Date;Quantity;Country;all", "Filter: Country = France; Price > 0"], [("title row", 2, 2)]),
        (['"Report', 'for ""us"""'], [("title row", 2, 1)]),
        ([f"note {number}" for number in range(199)], [("title row", 199, 1)]),
    ],
)
def test_titles_above_the_header(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, above: list[str], told: list[Any], block: int, end: str
) -> None:
    monkeypatch.setattr("include.sources.text._BLOCK_CHARACTERS", block)
    staged = stage(text_of([*above, HEADER, LINE, OTHER], end))
    assert staged.column("line_number") == [len(above) + 2, len(above) + 3]
    assert staged.reading.decisions.delimiter == ","
    assert staged.reading.defects == {}
    assert [entry for entry in left_out(staged) if entry[0] == "title row"] == told


@pytest.mark.parametrize("hint", ["sep=;", '"sep=;"'])
def test_a_separator_line_below_a_title(stage: Stage, hint: str) -> None:
    staged = stage(text_of(["Sales, all", hint, *(line.replace(",", ";") for line in csv_lines(2))]))
    assert staged.column("line_number") == [4, 5]
    assert left_out(staged) == [("title row", 1, 1)]


def test_records_above_the_header_are_warned_about(stage: Stage) -> None:
    staged = stage(text_of(["Sales report", LINE, OTHER, HEADER, LINE]))
    assert "2 lines above the column names look like records" in staged.warnings
    assert left_out(staged) == [("title row", 3, 1)]
    assert stage(text_of(["Sales, 2010", HEADER, LINE])).warnings == ""


def test_a_header_far_below_is_not_found(rejection: Reject) -> None:
    error = rejection(text_of([*(f"note {number}" for number in range(200)), HEADER, LINE]))
    assert (error.code, error.line) == ("missing_columns", 1)


def test_the_line_nearest_to_a_header_is_named(rejection: Reject) -> None:
    error = rejection(text_of(["Sales report", "Invoice,StockCode,Quantity,InvoiceDate,Amount", "1,2,3,2010-12-01,5"]))
    assert (error.code, error.line) == ("missing_columns", 2)
    assert "columns price are missing" in error.problem


@pytest.mark.parametrize(
    "units", [",,,pcs,yyyy-mm-dd,GBP,,", "text,text,text,(pcs),DateTime,\u00a3,,", ",".join(["---"] * 8)]
)
def test_units_below_the_header(stage: Stage, units: str) -> None:
    staged = stage(text_of([HEADER, ",,,,,,,", units, LINE]))
    assert staged.column("line_number") == [4]
    assert left_out(staged) == [("units row", 1, 3)]


@pytest.mark.parametrize("line", ["C1,A1,mug,six,today,free,,", "A,A1,mug,pcs,,2.55,,", ",A1,mug,pcs,2010-12-01,GBP,,"])
def test_a_wrong_first_record_is_no_row_of_units(stage: Stage, line: str) -> None:
    staged = stage(text_of([HEADER, line, LINE]))
    assert staged.column("line_number") == [2, 3]


@pytest.mark.parametrize("quoted", [False, True])
def test_the_header_again(stage: Stage, quoted: bool) -> None:
    header = ",".join(f'"{name}"' for name in HEADER.split(",")) if quoted else HEADER
    staged = stage(text_of([header, LINE, "", header, OTHER, "", HEADER.upper(), LINE]))
    assert staged.column("line_number") == [2, 5, 8]
    assert left_out(staged) == [("repeated header", 2, 4)]


def test_the_header_again_in_another_order(rejection: Reject) -> None:
    names = HEADER.split(",")
    names[3], names[5] = names[5], names[3]
    error = rejection(text_of([HEADER, LINE, ",".join(names), LINE]))
    assert (error.code, error.line) == ("changed_header", 3)


@pytest.mark.parametrize(
    "total",
    [
        "Total,,,3,,8.55,,",
        ",,Total,6,,,,",
        "1,TOTAL,Grand total,3,2024-06-30 10:00:00,8.55,17850,United Kingdom",
        "Grand Total:,,,3,,8.55,,",
        "536365 Total,,,3,,8.55,,",
        "536365,,Sub-total,3,,8.55,,",
        ",,Invoice total incl. VAT,,,8.55,,",
        ",,,,Total GBP,8.55,,",
        "Total,3,8.55",
        "TOTAL: 8.55",
        "Summe,,,3,,8.55,,",
        "Gesamt,A1,,3,,8.55,,",
        ",zwischensumme,,3,,8.55,,",
        "Total g\u00e9n\u00e9ral,,,3,,8.55,,",
        "Sous-total,,,3,,8.55,,",
        "Suma total,,,3,,8.55,,",
        "Totale complessivo,,,3,,8.55,,",
        "Totaal,,,3,,8.55,,",
        "Total geral,,,3,,8.55,,",
        ",,,,,8.55,,Amount due",
    ],
)
@pytest.mark.parametrize("last", [True, False])
def test_totals_are_no_records(stage: Stage, total: str, last: bool) -> None:
    staged = stage(text_of([HEADER, LINE, total, *([] if last else [OTHER])]))
    assert staged.column("line_number") == ([2] if last else [2, 4])
    assert staged.reading.defects == {}
    assert left_out(staged) == [("total row", 1, 3)]
    assert staged.reading.decisions.left_out[0].example


@pytest.mark.parametrize(
    "line",
    [
        OTHER,
        "536366,TOTAL-1,Total,1,2010-12-01,3.00,,France",
        "536366,A1,Total,1,2010-12-01,3.00,,France",
        "536366,SHIPPING,Shipping,1,2010-12-01,3.00,,France",
        "536366,VAT,VAT 20%,1,2010-12-01,3.00,,France",
        "536366,TOTAL ECLIPSE,Total,1,2010-12-01,3.00,,France",
        "TOTALLY,A1,Mug,1,2010-12-01,3.00,,France",
        "SUM41,A1,Mug,1,2010-12-01,3.00,,France",
        "PRODUCT,Date,Mug,1,2010-12-01,3.00,,France",
        ",A1,Total,1,2010-12-01,3.00,,France",
        "536366,,Total care soap,1,2010-12-01,3.00,,France",
    ],
)
def test_records_with_such_words_stay(stage: Stage, line: str) -> None:
    staged = stage(text_of([HEADER, LINE, line]))
    assert staged.column("line_number") == [2, 3]
    assert left_out(staged) == []


@pytest.mark.parametrize("block", [70, 4 << 20])
@pytest.mark.parametrize(
    "footers",
    [
        ["Generated by shop manager 7,,,,,,,"],
        ["-- end of report --"],
        ["Total,,,3,,8.55,,", "", "Printed on,2024-01-01", "*** END ***", "(2 rows affected)", ",,,,,,,"],
        ["All amounts in pounds,,,,,,,", "Page 1"],
        ["2,record(s) downloaded,from Dec-01-10,to Dec-31-10", "Seller ID : meadow_shop"],
        ["1200 rows exported"],
    ],
)
def test_footers_below_the_records(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, footers: list[str], block: int
) -> None:
    monkeypatch.setattr("include.sources.text._BLOCK_CHARACTERS", block)
    staged = stage(text_of([HEADER, LINE, OTHER, *footers]))
    assert staged.column("line_number") == [2, 3]
    assert staged.reading.defects == {}
    told = [count for what, count, _ in left_out(staged) if what == "footer"]
    assert sum(told) == len([text for text in footers if text.strip(",") and "Total" not in text])


@pytest.mark.parametrize("block", [70, 4 << 20])
def test_a_remark_above_a_record_is_a_defect(stage: Stage, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("include.sources.text._BLOCK_CHARACTERS", block)
    staged = stage(text_of([HEADER, LINE, "-- end of page --", "Generated by hand,,,,,,,", OTHER]))
    assert staged.column("line_number") == [2, 3, 4, 5]
    assert staged.defects == [(3, "too_few_columns")]
    assert left_out(staged) == []


@pytest.mark.parametrize(
    "cut", ["5", "536366", "536366,85123B", "536366,85123B,TOTAL", "C 12", "Total care", "2,orders,1"]
)
def test_a_record_that_was_cut_off_is_a_defect(stage: Stage, cut: str) -> None:
    staged = stage(f"{HEADER}\n{LINE}\n{cut}")
    assert staged.defects == [(3, "too_few_columns")]
    assert left_out(staged) == []


def test_json_has_totals_too(stage: Stage) -> None:
    record = dict(zip(HEADER.split(","), LINE.split(","), strict=True))
    staged = stage(json.dumps([record, {"Invoice": "Total", "Quantity": 6, "Price": 15.3}, record]), "sales.json")
    assert staged.column("line_number") == [1, 3]
    assert left_out(staged) == [("total row", 1, 2)]


@pytest.mark.parametrize(
    ("text", "total"),
    [("SUB TOTAL", True), ("Gesamt netto", True), ("", False), ("net", False), ("Total 1", False), ("Subtotals", True)],
)
def test_names_of_totals(text: str, total: bool) -> None:
    assert says_total(text) is total


@pytest.mark.parametrize("names", ["InvoiceDate,InvoiceTime", "Date,Time", "Rechnungsdatum,Uhrzeit"])
@pytest.mark.parametrize("dates", [("2010-12-01", "2010-12-02"), ("2010-12-01 00:00:00", "2010-12-02T00:00")])
def test_a_date_and_a_time_are_one_moment(stage: Stage, names: str, dates: tuple[str, str]) -> None:
    header = f"Invoice,StockCode,Quantity,{names},Price,Country"
    staged = stage(
        text_of([header, *(f"1,A,1,{date},08:26,2.55,France" for date in dates), "1,A,1,2010-12-03,,2,France"])
    )
    assert staged.column("invoice_date") == ["2010-12-01 08:26", "2010-12-02 08:26", "2010-12-03"]
    assert staged.reading.decisions.header["invoice_date"] == names.replace(",", " and ")
    assert staged.reading.decisions.extra_columns == []


@pytest.mark.parametrize(
    ("date", "time"), [("2010-12-01 08:26", "09:30"), ("2010-12-01", "morning"), ("2010-12-01", "")]
)
def test_a_time_that_belongs_to_no_date_is_the_senders_own(stage: Stage, date: str, time: str) -> None:
    header = "Invoice,StockCode,Quantity,Date,Time,Price,Country"
    staged = stage(text_of([header, f"1,A,1,{date},{time},2.55,France"]))
    assert staged.column("invoice_date") == [date]
    assert staged.reading.decisions.extra_columns == ["Time"]


def test_a_later_date_with_a_time_of_its_own_is_never_changed_in_silence(stage: Stage) -> None:
    header = "Invoice,StockCode,Quantity,Date,Time,Price,Country"
    lines = ["1,A,1,2010-12-01,08:26,2.55,France"] * 250
    staged = stage(text_of([header, *lines, "1,A,1,2010-12-02 07:00,08:26,2.55,France"]))
    assert staged.column("invoice_date")[-1] == "2010-12-02 07:00 08:26"


def test_a_file_without_country_loads_with_a_warning(stage: Stage) -> None:
    staged = stage("Invoice,StockCode,Quantity,InvoiceDate,Price\n1,2,3,2010-12-01,4\n")
    assert staged.column("country") == [None]
    assert "no country column" in staged.warnings


def test_all_columns_that_collide_are_told_at_once(rejection: Reject) -> None:
    error = rejection(text_of([f"{HEADER},UnitPrice,Qty,Units", "1,2,3,4,5,6,7,8,9,10,11"]))
    assert error.code == "duplicate_columns"
    assert "'Price' and 'UnitPrice' both mean price" in error.problem
    assert "'Quantity' and 'Qty' and 'Units' all mean quantity" in error.problem


def test_a_general_name_gives_way(stage: Stage) -> None:
    staged = stage(text_of([f"Order ID,Customer,Order Date,{HEADER}", f"9,Ann,2009-01-01,{LINE}"]))
    assert staged.column("invoice") == ["536365"]
    assert staged.column("customer_id") == ["17850"]
    assert staged.reading.decisions.extra_columns == ["Order ID", "Customer", "Order Date"]
    alone = stage("Order ID,SKU,Qty,Order Date,Unit Price,Country\n9,A1,1,2009-01-01,2.55,France\n")
    assert (alone.column("invoice"), alone.column("invoice_date")) == (["9"], ["2009-01-01"])


@pytest.mark.parametrize(
    "header",
    [
        "Rechnungsnummer;Artikel-Nr.;Bezeichnung;Menge;Rechnungsdatum;Einzelpreis;Kundennummer;Land",
        "N\u00b0 facture;Code article;D\u00e9signation;Qt\u00e9;Date facture;Prix unitaire;Code client;Pays",
        "Numero de factura;Codigo producto;Descripcion;Cantidad;Fecha;Precio unitario;ID cliente;Pais",
        "Numero fattura;Codice articolo;Descrizione;Quantit\u00e0;Data;Prezzo unitario;Codice cliente;Paese",
        "Factuurnummer;Artikelnummer;Omschrijving;Aantal;Factuurdatum;Prijs per stuk;Klantnummer;Land",
        "Nota fiscal;C\u00f3digo do produto;Descricao;Quantidade;Data;Pre\u00e7o unitario;ID do cliente;Pa\u00eds",
    ],
)
def test_names_in_other_languages(stage: Stage, header: str) -> None:
    staged = stage(text_of([header, LINE.replace(",", ";")]))
    assert len(staged.reading.decisions.header) == 8
    assert staged.column("price") == ["2.55"]


@pytest.mark.parametrize(
    "name",
    ["Total", "Amount", "Line Total", "Betrag", "Gesamtpreis", "Importe", "Montant", "Item Price", "Bedrag", "Valor"],
)
def test_no_name_of_a_total_is_a_price(rejection: Reject, name: str) -> None:
    assert rejection(text_of([HEADER.replace("Price", name), LINE])).code == "missing_columns"
