from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete

from include.domain.star import DIMENSION_RULES
from include.settings import Settings
from include.warehouse.connection.engine import transaction
from include.warehouse.publishing.publish import publish
from include.warehouse.schema.tables import DIMENSIONS, STAR, star_table
from tests.support.batches import Line, batch, key, stage, star_of, star_rows, table_rows

START = datetime(2010, 12, 1)


def line_at(minute: int, code: str, customer: str | None) -> Line:
    """A line whose description and country are told by its time, so that no two say different things of one moment."""
    return Line(
        invoice=f"53{minute % 3}",
        code=code,
        description=None if minute % 4 == 0 else f"NAME {minute}",
        quantity=minute + 1,
        sold_at=START + timedelta(minutes=minute),
        price=Decimal(1),
        customer=customer,
        country=("United Kingdom", "France", "EIRE")[minute % 3],
    )


lines = st.builds(
    line_at,
    minute=st.integers(0, 5000),
    code=st.sampled_from(["A1", "B2"]),
    customer=st.sampled_from([None, "1", "2"]),
)
drops = st.lists(st.lists(lines, min_size=1, max_size=4), min_size=2, max_size=4)


def emptied(engine: Engine) -> None:
    with transaction(engine) as connection:
        for name in (*reversed(STAR), "etl_batch"):
            table = star_table(name)
            first = next(iter(table.primary_key.columns))
            connection.execute(delete(table).where(first != 0) if name in DIMENSIONS else delete(table))


def publish_all(engine: Engine, settings: Settings, parts: list[list[Line]], order: list[int]) -> None:
    emptied(engine)
    for number in order:
        stage(engine, settings, batch(number), parts[number])
        publish(engine, settings, batch(number), "run", "drop", "gold")


@hypothesis_settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=drops, data=st.data())
def test_dimensions_come_out_the_same_in_any_order_and_as_if_loaded_at_once(
    engine: Engine, settings: Settings, parts: list[list[Line]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(parts))))
    publish_all(engine, settings, parts, order)
    at_once = star_of([line for part in parts for line in part], "")
    live = star_rows(engine)
    assert {name: live[name] for name in DIMENSIONS} == {name: sorted(at_once[name]) for name in DIMENSIONS}


def test_every_order_of_three_batches(engine: Engine, settings: Settings) -> None:
    parts = [[line_at(1, "A1", "1")], [line_at(4, "A1", "1")], [line_at(9, "A1", "1")]]
    outcomes = []
    for order in permutations(range(3)):
        publish_all(engine, settings, parts, list(order))
        live = star_rows(engine)
        outcomes.append({name: live[name] for name in DIMENSIONS})
    assert all(outcome == outcomes[0] for outcome in outcomes)
    product, customer = outcomes[0]["dim_product"][0], outcomes[0]["dim_customer"][0]
    assert product[2:] == (
        "NAME 9",
        "product",
        True,
        START + timedelta(minutes=9),
        START + timedelta(minutes=1),
        START + timedelta(minutes=9),
    )
    assert customer[2:] == (key("United Kingdom"), START + timedelta(minutes=1), START + timedelta(minutes=9))


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_on_a_tie_the_greatest_value_by_code_point_stays(engine: Engine, settings: Settings, order: list[int]) -> None:
    publish_all(engine, settings, [[Line(description="mMM")], [Line(description="ZZZ")]], order)
    assert table_rows(engine, "dim_product")[0][2] == "mMM"


def test_a_product_never_described_takes_the_first_description(engine: Engine, settings: Settings) -> None:
    late, early = Line(description=None, sold_at=START + timedelta(days=9)), Line(description="NAME", sold_at=START)
    for parts in ([[late], [early]], [[early], [late]]):
        publish_all(engine, settings, parts, [0, 1])
        assert table_rows(engine, "dim_product")[0][2] == "NAME"


def test_a_staged_unknown_member_is_ignored(engine: Engine, settings: Settings) -> None:
    stage(engine, settings, batch(1), [Line()])
    name = f"{settings.staging_schema}.dim_country__20261124t000001_00000001"
    with transaction(engine) as connection:
        connection.exec_driver_sql(f"INSERT INTO {name} VALUES (0, 'Nowhere')")
    publish(engine, settings, batch(1), "run", "drop", "gold")
    with transaction(engine) as connection:
        query = star_table("dim_country").select().where(star_table("dim_country").c.country_key == 0)
        assert connection.execute(query).one().country == "(unknown)"


def test_every_column_of_a_dimension_has_a_rule() -> None:
    assert tuple(rule.table for rule in DIMENSION_RULES) == DIMENSIONS
    for rule in DIMENSION_RULES:
        assert {rule.key, rule.natural, *rule.rules} == set(star_table(rule.table).columns.keys())
