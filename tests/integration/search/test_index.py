"""Building and changing the index on a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from include.runs.marks import mark_published, mark_unpublished
from include.search.documents import document_id, line
from include.search.entities import SearchRequest
from include.search.index import bring_up_to_date, index_status
from include.search.last_indexing import pending
from include.search.server import SearchServer
from include.search.service import SearchService
from include.settings import Settings
from tests.support.shop import Line, MakeSettings, catalogue, read_products, write_shop


def held(server: SearchServer, settings: Settings) -> dict[str, dict[str, object]]:
    name = server.current(settings.search_alias)
    assert name is not None
    lines = server.export(name, ["id", "stock_code", "country", "units", "description"]).splitlines()
    return {found["id"]: found for found in map(json.loads, lines)}


def test_a_product_is_what_its_published_sales_say(settings: Settings) -> None:
    write_shop(
        settings,
        [
            Line("A1", "OLD NAME", "1.00", 10, sold_at=datetime(2010, 1, 1)),
            Line("A1", "NEW NAME", "3.00", 2, sold_at=datetime(2010, 3, 1)),
            Line("A1", "NEW NAME", "2.00", 1, sold_at=datetime(2010, 2, 1)),
            Line("A1", "NEW NAME", "3.00", -1, kind="cancellation", sold_at=datetime(2010, 4, 1)),
            Line("A1", "lost", "0.00", -50, kind="stock_movement", sold_at=datetime(2010, 5, 1)),
            Line("A1", "NEW NAME", "9.00", 1, batch_id="held", sold_at=datetime(2010, 6, 1)),
            Line("A2", "ONLY RETURNED", "3.00", -1, kind="return"),
            Line("POST", "POSTAGE", "18.00", 1, is_product=False),
        ],
    )
    mark_unpublished(settings, "held")
    (product,) = read_products(settings)
    assert (product.stock_code, product.description, product.alternatives) == ("A1", "NEW NAME", ["OLD NAME"])
    assert (product.price_minimum, product.price_median, product.price_maximum) == tuple(map(Decimal, "123"))
    assert (product.units, product.revenue) == (Decimal(12), Decimal(15))
    assert (product.first_sold_at, product.last_sold_at) == (datetime(2010, 1, 1), datetime(2010, 3, 1))
    assert product.price_band == "1 to 2.49"


def test_an_increment_writes_what_changed_and_removes_what_is_gone(settings: Settings, server: SearchServer) -> None:
    write_shop(settings, catalogue())
    first = bring_up_to_date(settings, "r1")
    assert (first.status, first.rebuilt, first.documents) == ("indexed", True, len(catalogue()))
    assert first.embedded == 14
    again = bring_up_to_date(settings, "r2")
    assert (again.rebuilt, again.upserted, again.removed, again.embedded) == (False, 0, 0, 0)
    lines = [line for line in catalogue() if not (line.stock_code == "20001" and line.country == "France")]
    lines.append(
        Line("20004", "CHRISTMAS TREE BAUBLE SILVER", "0.85", 7, category="christmas", subcategory="decorations")
    )
    lines.append(Line("30001", "PAPER KITE", country="Spain"))
    write_shop(settings, lines)
    third = bring_up_to_date(settings, "r3")
    assert (third.upserted, third.removed, third.embedded, third.rebuilt) == (2, 1, 1, False)
    assert third.collection == first.collection
    found = held(server, settings)
    assert len(found) == third.documents == len(catalogue())
    assert document_id("20001", "France") not in found
    assert found[document_id("30001", "Spain")]["description"] == "PAPER KITE"
    assert found[document_id("20004", "United Kingdom")]["units"] == 27_000_000


def test_what_is_not_published_is_not_searched(settings: Settings, server: SearchServer) -> None:
    write_shop(settings, [Line("A1", "PAPER KITE"), Line("A2", "PAPER STAR", batch_id="held")])
    mark_unpublished(settings, "held")
    assert bring_up_to_date(settings, "r1").documents == 1
    mark_published(settings, "held")
    assert bring_up_to_date(settings, "r2").upserted == 1
    mark_unpublished(settings, "b1")
    assert bring_up_to_date(settings, "r3").removed == 1
    assert [found["stock_code"] for found in held(server, settings).values()] == ["A2"]


def test_readers_never_see_a_part_of_a_rebuild(settings: Settings, server: SearchServer) -> None:
    lines = [Line(f"K{number}", f"PAPER KITE {number}") for number in range(300)]
    write_shop(settings, lines)
    first = bring_up_to_date(settings, "r1")
    stop = threading.Event()
    seen: set[int] = set()

    def read() -> None:
        with SearchService(settings) as service:
            while not stop.is_set():
                seen.add(service.search(SearchRequest(country="United Kingdom", q="kite", mode="text")).found)

    reader = threading.Thread(target=read)
    reader.start()
    for run in range(3):
        rebuilt = bring_up_to_date(settings, f"again{run}", rebuild=True)
        assert rebuilt.rebuilt
    stop.set()
    reader.join()
    assert seen == {300}
    ours = [name for name in server.collections() if name.startswith(settings.search_alias)]
    assert ours == [rebuilt.collection]
    assert rebuilt.collection != first.collection


def test_another_model_makes_a_new_index(make_settings: MakeSettings) -> None:
    settings = make_settings()
    write_shop(settings, catalogue())
    bring_up_to_date(settings, "r1")
    other = settings.model_copy(update={"search_model": "wordllama/64"})
    assert bring_up_to_date(other, "r2").rebuilt
    with SearchService(other) as service:
        assert service.search(SearchRequest(country="France", q="candle", mode="vector")).found
    third = settings.model_copy(update={"search_model": "ts/all-MiniLM-L12-v2"})
    record = bring_up_to_date(third, "r3")
    assert record.status == "pending"
    assert "0.24.1 makes no vectors itself" in (record.reason or "")


def test_nothing_published_yet_is_an_empty_index(settings: Settings) -> None:
    record = bring_up_to_date(settings, "r1")
    assert (record.status, record.documents) == ("indexed", 0)
    with SearchService(settings) as service:
        assert service.search(SearchRequest(country="France")).found == 0


def test_refused_documents_are_told_line_by_line(
    settings: Settings, server: SearchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shop(settings, catalogue())
    bring_up_to_date(settings, "r1")
    write_shop(settings, [replace(line, quantity=line.quantity + 1) for line in catalogue()])

    def spoilt(original: Callable[..., str]) -> Callable[..., str]:
        def make(fields: dict[str, object], vector: list[float] | None) -> str:
            wrong = fields["stock_code"] == "20003"
            return original({**fields, "units": "many"} if wrong else fields, vector)

        return make

    with monkeypatch.context() as patch:
        patch.setattr("include.search.index.line", spoilt(line))
        record = bring_up_to_date(settings, "r2")
        assert record.status == "pending"
        assert len(record.problems) == 3
        assert all("20003 in " in problem and "units" in problem for problem in record.problems)
        rebuilt = bring_up_to_date(settings, "r3", rebuild=True)
        assert rebuilt.status == "pending"
    assert len(held(server, settings)) == len(catalogue())
    assert len([name for name in server.collections() if name.startswith(settings.search_alias)]) == 1
    marker = pending(settings)
    assert marker is not None
    assert marker.runs == ["r2", "r3"]
    caught_up = bring_up_to_date(settings, "r4")
    assert (caught_up.status, caught_up.upserted) == ("indexed", 3)
    assert pending(settings) is None


def test_a_wrong_key_is_pending_with_the_remedy(make_settings: MakeSettings) -> None:
    settings = make_settings(typesense_api_key="wrong")
    record = bring_up_to_date(settings, "r1")
    assert record.status == "pending"
    assert "check TYPESENSE_API_KEY" in (record.reason or "")
    assert "wrong" not in (record.reason or "")


def test_without_a_service_the_search_is_off(make_settings: MakeSettings) -> None:
    record = bring_up_to_date(make_settings(typesense_nodes=""), "r1")
    assert (record.status, record.reason) == ("off", "TYPESENSE_NODES is not set.")


def test_the_status_tells_version_collection_and_documents(settings: Settings) -> None:
    write_shop(settings, catalogue())
    record = bring_up_to_date(settings, "r1")
    status = index_status(settings)
    assert (status.version, status.collection, status.documents) == ("0.24.1", record.collection, len(catalogue()))
