from __future__ import annotations

from datetime import date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from include.domain.classify import KINDS
from include.runs.landing import UNFINISHED_SUFFIXES
from retail_api.data.line_counts import DayCount, LineCounts, days_of_page
from retail_api.domain.files import MAX_NAME_BYTES, checked_name
from retail_api.domain.paging import decode_cursor, encode_cursor
from retail_api.domain.sales import MAX_SORT_FIELDS, SORT_FIELDS, Kind, SaleCursor, SalesQuery, parse_sort

FIELDS = st.lists(
    st.tuples(st.sampled_from(SORT_FIELDS), st.sampled_from([":asc", ":desc", ""])),
    min_size=1,
    max_size=MAX_SORT_FIELDS,
    unique_by=lambda field: field[0],
)


@given(FIELDS)
def test_a_sort_is_read_as_written(fields: list[tuple[str, str]]) -> None:
    sort = parse_sort(", ".join(name + direction for name, direction in fields))
    assert [tuple(field) for field in sort] == [(name, direction == ":desc") for name, direction in fields]


@given(st.text(max_size=40))
def test_any_other_sort_is_refused(text: str) -> None:
    try:
        sort = parse_sort(text)
    except ValueError:
        return
    assert {field.name for field in sort} <= set(SORT_FIELDS)


@given(st.text(max_size=60))
def test_a_text_filter_is_taken_or_refused(text: str) -> None:
    for name in ("country", "product", "customer", "invoice"):
        try:
            found = getattr(SalesQuery.model_validate({name: text}), name)
        except ValidationError:
            continue
        assert found
        assert found.isprintable()


@given(st.booleans(), st.datetimes(), st.uuids())
def test_a_cursor_comes_back(before: bool, moment: datetime, number: UUID) -> None:
    cursor = SaleCursor(before=before, sold_at=moment, id=number)
    assert decode_cursor(encode_cursor(cursor), SaleCursor) == cursor


@given(st.text(max_size=80))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not one that this API gave"):
        decode_cursor(text, SaleCursor)


def test_a_cursor_of_another_kind_is_refused() -> None:
    class Other(BaseModel):
        page: int = 1

    with pytest.raises(ValueError, match="not one that this API gave"):
        decode_cursor(encode_cursor(Other()), SaleCursor)


@given(
    st.lists(st.integers(1, 9), max_size=12),
    st.integers(0, 60),
    st.integers(1, 20),
    st.booleans(),
)
def test_the_days_of_a_page_hold_it_and_little_more(counts: list[int], offset: int, size: int, backward: bool) -> None:
    days = [DayCount(date(2010, 12, 1) + timedelta(days=number), lines) for number, lines in enumerate(counts)]
    if backward:
        days.reverse()
    listed = [day for day, lines in days for _ in range(lines)]
    found = days_of_page(days, offset, size)
    page = listed[offset : offset + size]
    if found is None:
        assert not page
        return
    chosen = [day for day in listed if found.first_day <= day <= found.last_day]
    assert chosen[found.skip : found.skip + size] == page
    assert chosen[0] == page[0]
    assert chosen[-1] == page[-1]


def test_the_kinds_are_those_of_the_lines() -> None:
    assert tuple(Kind) == KINDS


@given(st.text(max_size=300))
def test_a_name_is_one_that_stays_in_the_folder_and_is_claimed(text: str) -> None:
    try:
        name = checked_name(text)
    except ValueError:
        return
    assert not set(name) & set("/\\\0\n")
    assert name not in {".", ".."}
    assert not name.startswith(".")
    assert len(name.encode()) <= MAX_NAME_BYTES


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a.csv", "a/b", "a\\b", "/etc/passwd", ".a.csv", "a~", "a\x00.csv", "a\nb", "x" * 201,
             "\ud800.csv", *[f"a{suffix}" for suffix in UNFINISHED_SUFFIXES], "a.PART"]
)  # fmt: skip
def test_a_name_that_would_not_be_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        checked_name(name)


@pytest.mark.parametrize("name", ["a.csv", "Rechnungen März.csv", "in (2) $5.csv.gz", "-rf", "x" * 200])
def test_a_plain_name_is_taken(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["Ireland", "ireland", "EIRE", "IE", "Irlande"])
def test_a_country_is_found_by_its_names_and_codes(name: str) -> None:
    assert LineCounts([], {"Ireland": 7, "Atlantis": 8}).country_key(name) == 7


@pytest.mark.parametrize(("name", "key"), [("ATLANTIS", 8), ("EIRE", 9), ("France", None)])
def test_a_country_is_found_by_the_name_it_has(name: str, key: int | None) -> None:
    assert LineCounts([], {"Ireland": 7, "Atlantis": 8, "EIRE": 9}).country_key(name) == key
