"""One date style a file: every usual form is read, doubt is told or refused, nothing is guessed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from include.sources.dates import DateStyle
from tests.support.source_files import HEADER, Reject, Stage, csv_with_dates

LONDON = ZoneInfo("Europe/London")
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2068, 12, 31)).map(lambda moment: moment.replace(microsecond=0))


@pytest.mark.parametrize(
    ("dates", "order", "separator", "basis"),
    [
        (["2010-12-01 08:26:00"], "ymd", "-", "evidence"),
        (["2010-12-01T08:26"], "ymd", "-", "evidence"),
        (["2010/12/1"], "ymd", "/", "evidence"),
        (["12/1/2010 8:26", "12/13/2010 9:00"], "mdy", "/", "evidence"),
        (["12/1/10 8:26", "12/13/10 9:00"], "mdy", "/", "evidence"),
        (["01/12/2010 08:26", "13/12/2010 08:26"], "dmy", "/", "evidence"),
        (["01-12-2009 07:45", "31-12-2009 07:45"], "dmy", "-", "evidence"),
        (["12-31-2009 07:45"], "mdy", "-", "evidence"),
        (["01.12.2009", "31.12.2009"], "dmy", ".", "evidence"),
        (["1.12.2010 8:26"], "dmy", ".", "convention"),
        (["31.12.10"], "dmy", ".", "evidence"),
    ],
)
def test_the_order_of_numeric_dates(stage: Stage, dates: list[str], order: str, separator: str, basis: str) -> None:
    decisions = stage(csv_with_dates(*dates)).reading.decisions
    assert (decisions.date_order, decisions.date_separator, decisions.date_basis) == (order, separator, basis)
    assert decisions.warnings == []


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("12/31/2010 8:26:00 AM", "2010-12-31 08:26:00"),
        ("12/31/2010 12:26 AM", "2010-12-31 00:26:00"),
        ("12/31/2010, 8:26 p.m.", "2010-12-31 20:26:00"),
        ("31.12.2010 24:00", "2011-01-01 00:00:00"),
        ("31 Dec 2010 08:26", "2010-12-31 08:26:00"),
        ("31-Dec-10", "2010-12-31 00:00:00"),
        ("Dec-31-10", "2010-12-31 00:00:00"),
        ("Dec-31-2010 08:26", "2010-12-31 08:26:00"),
        ("Friday, December 31, 2010 8:26 AM", "2010-12-31 08:26:00"),
        ("Dec. 31st, 2010", "2010-12-31 00:00:00"),
        ("31. Dezember 2010 08:26", "2010-12-31 08:26:00"),
        ("31 décembre 2010", "2010-12-31 00:00:00"),
        ("1er août 2010", "2010-08-01 00:00:00"),
        ("31 de diciembre de 2010", "2010-12-31 00:00:00"),
        ("31 dicembre 2010", "2010-12-31 00:00:00"),
        ("1 maart 2010", "2010-03-01 00:00:00"),
        ("31 de dezembro de 2010", "2010-12-31 00:00:00"),
        ("2010-Dec-31 08:26", "2010-12-31 08:26:00"),
        ("20101231", "2010-12-31 00:00:00"),
        ("20101231T082600Z", "2010-12-31 08:26:00"),
        ("2010-12-01T08:26:00Z", "2010-12-01 08:26:00"),
        ("2010-07-01T08:26:00Z", "2010-07-01 09:26:00"),
        ("2010-12-01T08:26:00+01:00", "2010-12-01 07:26:00"),
        ("2024-01-10T11:00:00-0500", "2024-01-10 16:00:00"),
        ("2024-03-04 10:22:31 +0000", "2024-03-04 10:22:31"),
        ("40513.3513888889", "2010-12-01 08:26:00"),
        ("40513", "2010-12-01 00:00:00"),
        ("1291191960", "2010-12-01 08:26:00"),
        ("1291191960000", "2010-12-01 08:26:00"),
    ],
)
def test_forms_of_a_date(stage: Stage, text: str, moment: str) -> None:
    staged = stage(
        json.dumps([{"Invoice": "1", "SKU": "A", "Qty": 1, "Price": 1, "Country": "F", "Date": text}]), "a.json"
    )
    assert staged.column("invoice_date") == [moment]
    assert json.loads(staged.rows[0]["written"]) == {"invoice_date": text}


@pytest.mark.parametrize("text", ["2010-12-01", "2010-12-1 8:26", "2010-12-01T08:26", "2010-12-01 08:26:00.5"])
def test_what_can_be_read_as_it_is_stays_as_it_is(stage: Stage, text: str) -> None:
    staged = stage(csv_with_dates(text))
    assert (staged.column("invoice_date"), staged.column("written")) == ([text], [None])


@pytest.mark.parametrize(
    "text",
    ["31.02.2010", "31.12.2010 25:00", "31.12.2010 13:00 PM", "31 Foo 2010", "12345", "2010-13-31T08:26Z"],
)
def test_what_names_no_moment_is_left_to_the_rules_of_a_line(stage: Stage, text: str) -> None:
    staged = stage(csv_with_dates(text))
    assert (staged.column("invoice_date"), staged.column("written")) == ([text], [None])


@pytest.mark.parametrize("dates", [["3/4/2011 8:26"], ["03-04-2011", "05-06-2011"], ["12/10/10"]])
def test_a_file_that_does_not_tell_day_from_month_is_refused(rejection: Reject, stage: Stage, dates: list[str]) -> None:
    refused = rejection(csv_with_dates(*dates))
    assert (refused.code, refused.value) == ("ambiguous_dates", dates[0])
    assert "RETAIL_DATE_ORDER" in refused.remedy
    for setting, order in (("day_first", "dmy"), ("month_first", "mdy")):
        decisions = stage(csv_with_dates(*dates), date_order=setting).reading.decisions
        assert (decisions.date_order, decisions.date_basis, decisions.warnings) == (order, "setting", [])


def test_the_refusal_names_both_readings(rejection: Reject) -> None:
    assert "4 March 2011 or 3 April 2011" in rejection(csv_with_dates("3/4/2011")).problem


def test_evidence_beats_the_setting(stage: Stage) -> None:
    decisions = stage(csv_with_dates("13/04/2010 10:00"), date_order="month_first").reading.decisions
    assert (decisions.date_order, decisions.date_basis) == ("dmy", "evidence")


def test_the_order_that_fits_more_rows_wins_and_doubtful_days_are_named(stage: Stage) -> None:
    staged = stage(csv_with_dates("13/04/2010", "14/04/2010", "04/15/2010", "01/02/2010", "soon", ""))
    assert staged.reading.decisions.date_order == "dmy"
    assert "2 of 5 invoice dates, such as '04/15/2010', do not fit day/month/year" in staged.warnings
    assert "1 dates that can be read both ways are in doubt: 01/02/2010" in staged.warnings


def test_another_separator_does_not_fit(stage: Stage) -> None:
    staged = stage(csv_with_dates("2010-12-01", "2010-12-02", "2010/12/03", "2010-12/04"))
    assert staged.reading.decisions.date_separator == "-"
    assert "2 of 4" in staged.warnings


@pytest.mark.parametrize(("setting", "order"), [("auto", "day"), ("day_first", "day"), ("month_first", "month")])
def test_dates_that_contradict_each_other_are_said(stage: Stage, setting: str, order: str) -> None:
    warnings = stage(csv_with_dates("01/02/2011", "31/12/2011", "12/31/2011"), date_order=setting).warnings
    assert "31/12/2011 can only be day first and 12/31/2011 only month first" in warnings
    assert f"All were read {order} first" in warnings
    assert "1 of 3 invoice dates" in warnings
    assert "are in doubt: 01/02/2011" in warnings


def test_defective_records_are_no_evidence(rejection: Reject) -> None:
    assert rejection(csv_with_dates("03/04/2010") + "536365,85123A,MUG,6,04/13/2010\n").code == "ambiguous_dates"


def test_no_date_can_be_read(stage: Stage) -> None:
    assert "None of the 2 invoice dates" in stage(csv_with_dates("soon", "later")).warnings
    assert stage(HEADER).reading.decisions.date_basis == "evidence"


@hypothesis_settings(max_examples=2000, deadline=None)
@given(MOMENTS, st.sampled_from(["ymd", "dmy", "mdy"]), st.sampled_from("-/."), st.booleans(), st.booleans())
def test_numeric_dates_are_read_as_they_were_written(
    moment: datetime, order: str, separator: str, padded: bool, half: bool
) -> None:
    parts = {"y": f"{moment.year}", "m": f"{moment.month:02}", "d": f"{moment.day:02}"}
    if not padded:
        parts |= {"m": str(moment.month), "d": str(moment.day)}
    if order != "ymd" and moment.second % 2:
        parts["y"] = f"{moment:%y}"
        moment = datetime.strptime(f"{moment:%y-%m-%d %H:%M:%S}", "%y-%m-%d %H:%M:%S")
    clock = f"{moment:%I:%M:%S %p}" if half else f"{moment:%H:%M:%S}"
    style = DateStyle(LONDON, "numeric", order, separator)  # type: ignore[arg-type]
    assert style.read(f"{separator.join(parts[letter] for letter in order)} {clock}") == moment


@hypothesis_settings(max_examples=2000, deadline=None)
@given(MOMENTS, st.integers(-14 * 4, 14 * 4), st.sampled_from(["Europe/London", "America/New_York", "Asia/Kolkata"]))
def test_moments_with_an_offset_are_brought_to_the_shops_zone(moment: datetime, quarters: int, zone: str) -> None:
    there = moment.replace(tzinfo=timezone(timedelta(minutes=15 * quarters)))
    shop = ZoneInfo(zone)
    expected = there.astimezone(UTC).astimezone(shop).replace(tzinfo=None)
    assert DateStyle(shop).read(there.isoformat()) == expected


@hypothesis_settings(max_examples=1000, deadline=None)
@given(MOMENTS)
def test_serial_numbers_and_seconds_since_1970(moment: datetime) -> None:
    days = (moment - datetime(1899, 12, 30)) / timedelta(days=1)
    assert DateStyle(LONDON, "serial").read(f"{days:.10f}") == moment
    utc = ZoneInfo("UTC")
    seconds = (moment - datetime(1970, 1, 1)) // timedelta(seconds=1)
    assert DateStyle(utc, "epoch_seconds").read(str(seconds)) == moment or seconds < 10**8
    assert DateStyle(utc, "epoch_milliseconds").read(str(seconds * 1000)) == moment or seconds < 10**8


@hypothesis_settings(max_examples=3000, deadline=None)
@given(st.text(alphabet="0123456789-/.: TZAMPamp+decjun,", max_size=30))
def test_no_text_breaks_a_style(text: str) -> None:
    for kind in ("numeric", "named", "compact", "serial", "epoch_seconds", "epoch_milliseconds"):
        for order in ("ymd", "dmy", "mdy"):
            DateStyle(LONDON, kind, order, "/").read(text)
