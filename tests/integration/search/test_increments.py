"""Increments leave the index as a comparison of all products would, and compare only what may have changed."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from include.runs.marks import mark_published, mark_unpublished, unpublished_batches
from include.search.documents import CONTENT_HASH, document
from include.search.index import bring_up_to_date
from include.search.server import SearchServer
from include.settings import Settings
from tests.support.shop import Line, catalogue, read_products, write_shop

Change = Callable[[random.Random, list[Line], str], list[Line]]


def held(server: SearchServer, settings: Settings) -> dict[str, str]:
    lines = server.export(server.current(settings.search_alias) or "", ["id", CONTENT_HASH]).splitlines()
    return {one["id"]: one[CONTENT_HASH] for one in map(json.loads, lines)}


def expected(settings: Settings) -> dict[str, str]:
    documents = [document(product, settings.search_model) for product in read_products(settings)]
    return {one["id"]: one[CONTENT_HASH] for one in documents}


def new_lines(chance: random.Random, lines: list[Line], batch: str) -> list[Line]:
    more = [
        replace(
            chance.choice(lines),
            batch_id=batch,
            price=chance.choice(("0.85", "2.95", "12.50")),
            country=chance.choice(("United Kingdom", "France", "Spain")),
            kind=chance.choice(("sale", "sale", "return", "cancellation", "stock_movement")),
            sold_at=datetime(2010, 12, chance.randint(1, 28), 9) + timedelta(days=chance.choice((0, 40))),
        )
        for _ in range(3)
    ]
    return [*lines, *more]


def new_product(chance: random.Random, lines: list[Line], batch: str) -> list[Line]:
    return [*lines, Line(f"N{batch}`,]", f"PAPER KITE {batch}", country="Spain", batch_id=batch)]


def rebuilt_day(chance: random.Random, lines: list[Line], batch: str) -> list[Line]:
    day = chance.choice(lines).sold_at.date()
    kept = [line for line in lines if line.sold_at.date() != day]
    again = [line for line in lines if line.sold_at.date() == day]
    return [*kept, *(replace(line, quantity=line.quantity + 1) for line in again[1:])]


def taken_over(chance: random.Random, lines: list[Line], batch: str) -> list[Line]:
    of = chance.choice(lines).batch_id
    return [replace(line, batch_id=batch) if line.batch_id == of else line for line in lines]


def gone_product(chance: random.Random, lines: list[Line], batch: str) -> list[Line]:
    code = chance.choice(lines).stock_code
    return [line for line in lines if line.stock_code != code]


def other_category(chance: random.Random, lines: list[Line], batch: str) -> list[Line]:
    code = chance.choice(lines).stock_code
    return [replace(line, category="christmas") if line.stock_code == code else line for line in lines]


def other_description(chance: random.Random, lines: list[Line], batch: str) -> list[Line]:
    line = chance.choice(lines)
    return [*lines, replace(line, description=f"RENAMED {batch}", sold_at=datetime(2011, 6, 1), batch_id=batch)]


def repeated_line(chance: random.Random, lines: list[Line], batch: str) -> list[Line]:
    return [*lines, chance.choice(lines)]


def older_description(chance: random.Random, lines: list[Line], batch: str) -> list[Line]:
    """Change a description that is in Silver alone, as the product goes by its latest one."""
    latest = {line.stock_code: line for line in sorted(lines, key=lambda one: one.sold_at) if Decimal(line.price)}
    older = [number for number, line in enumerate(lines) if line is not latest[line.stock_code]]
    number = chance.choice(older)
    return [*lines[:number], replace(lines[number], description=f"ONCE {batch}"), *lines[number + 1 :]]


def other_region(chance: random.Random, lines: list[Line], batch: str) -> list[Line]:
    country = chance.choice(lines).country
    return [replace(line, region=batch) if line.country == country else line for line in lines]


CHANGES: tuple[Change, ...] = (
    new_lines,
    new_product,
    rebuilt_day,
    taken_over,
    gone_product,
    other_category,
    other_description,
    other_region,
    repeated_line,
    older_description,
)


def disturb(chance: random.Random, settings: Settings, server: SearchServer, batch: str) -> None:
    """Perhaps hold a batch or publish one that was held, lose the collection or a document of it."""
    name = server.current(settings.search_alias) or ""
    match chance.randrange(8):
        case 0:
            mark_unpublished(settings, batch)
        case 1:
            for other in unpublished_batches(settings)[:1]:
                mark_published(settings, other)
        case 2 if name in server.collections():
            server.drop(name)
        case 3 if name in server.collections():
            server.delete(name, [chance.choice(sorted(held(server, settings)))])


@pytest.mark.parametrize("seed", range(3))
def test_an_increment_equals_a_comparison_of_everything(settings: Settings, server: SearchServer, seed: int) -> None:
    chance = random.Random(seed)
    lines = catalogue()
    write_shop(settings, lines)
    bring_up_to_date(settings, "first")
    compared = []
    for number in range(30):
        batch = f"b{number + 2}"
        for change in chance.choices(CHANGES, k=chance.choice((1, 1, 2))):
            lines = change(chance, lines, batch)
        disturb(chance, settings, server, batch)
        write_shop(settings, lines)
        if chance.random() < 0.2:
            continue  # the index misses a batch
        record = bring_up_to_date(settings, batch)
        assert held(server, settings) == expected(settings), number
        assert (record.status, record.documents) == ("indexed", len(expected(settings)))
        compared.append(record.compared / record.documents)
    assert min(compared) < 0.3


def test_only_what_may_have_changed_is_compared(settings: Settings, server: SearchServer) -> None:
    write_shop(settings, catalogue())
    assert bring_up_to_date(settings, "r1").compared == len(catalogue())
    assert bring_up_to_date(settings, "r2").compared == 0
    write_shop(settings, [*catalogue(), Line("20004", "CHRISTMAS TREE BAUBLE SILVER", "0.85", 7, "Spain")])
    record = bring_up_to_date(settings, "r3")
    assert (record.compared, record.documents) == (2, len(catalogue()) + 1)
    assert bring_up_to_date(settings, "r4", compare_all=True).compared == len(catalogue()) + 1


def move(table: Path, other: Path) -> None:
    shutil.rmtree(table)
    other.rename(table)


def restored(settings: Settings) -> None:
    """Give Gold's facts another history with as many versions."""
    table = Path(settings.table("gold", "fact_sales"))
    other = settings.model_copy(update={"data_dir": settings.data_dir / "other"})
    for quantity in (1, 2, 3):
        write_shop(other, [replace(line, quantity=quantity) for line in catalogue()])
    move(table, Path(other.table("gold", "fact_sales")))


def vacuumed(settings: Settings) -> None:
    write_shop(settings, [replace(line, quantity=3) for line in catalogue()])
    DeltaTable(settings.table("gold", "fact_sales")).vacuum(0, dry_run=False, enforce_retention_duration=False)


def made_anew(settings: Settings) -> None:
    for name in ("fact_sales", "dim_product", "dim_country"):
        shutil.rmtree(settings.table("gold", name))
    write_shop(settings, [replace(line, quantity=3) for line in catalogue()])


@pytest.mark.parametrize("change", [restored, vacuumed, made_anew])
def test_a_lake_whose_past_is_gone_is_compared_whole(
    settings: Settings, server: SearchServer, change: Callable[[Settings], None]
) -> None:
    for quantity in (8, 9):
        write_shop(settings, [replace(line, quantity=quantity) for line in catalogue()])
    bring_up_to_date(settings, "r1")
    change(settings)
    record = bring_up_to_date(settings, "r2")
    assert (record.compared, record.upserted) == (len(catalogue()), len(catalogue()))
    assert held(server, settings) == expected(settings)


def older_write(documents: list[dict[str, Any]]) -> None:
    for one in documents:
        one |= {"written_at": 1, "units": 1, CONTENT_HASH: "older"}


def fewer(documents: list[dict[str, Any]]) -> None:
    documents.pop()


@pytest.mark.parametrize("change", [older_write, fewer])
def test_an_index_that_is_not_as_it_was_left_is_compared_whole(
    settings: Settings, server: SearchServer, change: Callable[[list[dict[str, Any]]], None]
) -> None:
    write_shop(settings, catalogue())
    name = bring_up_to_date(settings, "r1").collection or ""
    ids = sorted(held(server, settings))
    documents = [server.document(name, one) or {} for one in ids]
    server.delete(name, ids)
    change(documents)
    server.upsert(name, "\n".join(map(json.dumps, documents)))
    assert bring_up_to_date(settings, "r2").compared == len(catalogue())
    assert held(server, settings) == expected(settings)


def test_other_code_or_synonyms_compare_everything(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shop(settings, catalogue())
    bring_up_to_date(settings, "r1")
    monkeypatch.setattr("include.search.last_indexing.recipe", lambda model: "other")
    assert bring_up_to_date(settings, "r2").compared == len(catalogue())
    assert bring_up_to_date(settings, "r3").compared == 0
