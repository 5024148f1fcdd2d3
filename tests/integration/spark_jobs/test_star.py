"""Whether a batch changes a dimension, told without Spark, is what Spark's merge says."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql import SparkSession

from include.domain.star import Dimension, Fixed, Greatest, Least, Newer
from spark_jobs.star import merged

START = datetime(2010, 12, 1, tzinfo=UTC)
DIMENSION = Dimension(
    "dim_example",
    "key",
    "name",
    {"kind": Fixed(), "first": Least(), "text": Newer("clock"), "number": Newer("clock"), "clock": Greatest()},
)
SCHEMA = "key long, name string, kind string, first int, text string, number int, clock timestamp"


def test_python_and_spark_agree_on_what_changes_a_member(spark: SparkSession) -> None:
    chance = random.Random(16)

    def row(key: int) -> dict[str, Any]:
        clock = chance.choice([None, START, START + timedelta(days=1)])
        return {
            "key": key,
            "name": f"member {key}",
            "kind": chance.choice(["a", "b", None]),
            "first": chance.choice([1, 2, None]),
            "text": chance.choice(["x", "y", "É", None]),
            "number": chance.choice([1, 2, None]),
            "clock": clock,
        }

    known, rows = [row(key) for key in range(400)], [row(key) for key in range(400)]
    frame = spark.createDataFrame([tuple(member.values()) for member in [*known, *rows]], SCHEMA)
    merged_once = merged(spark.createDataFrame([tuple(member.values()) for member in known], SCHEMA), DIMENSION)
    before = {member["key"]: member for member in merged_once.toArrow().to_pylist()}
    after = {member["key"]: member for member in merged(frame, DIMENSION).toArrow().to_pylist()}
    changed = {member["key"]: DIMENSION.is_changed_by(member, before[member["key"]]) for member in rows}
    assert changed == {key: after[key] != before[key] for key in before}
    assert set(changed.values()) == {True, False}
    assert DIMENSION.is_changed_by(rows[0], None)
