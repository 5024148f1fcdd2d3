"""The warehouse itself: its server, its tables, whether they are whole."""

from __future__ import annotations

from pydantic import Field

from include.failover import Side
from include.warehouse import NewestBatch
from retail_api.domain.paging import Days, Entity


class TableSize(Entity):
    """A table."""

    name: str
    rows: int
    counted: bool = Field(description="Whether the rows were counted; if not, they are the planner's estimate.")
    bytes_total: int | None = Field(description="With its indices; null for the replica.")
    bytes_indices: int | None


class Statistics(Entity):
    """What the side that answers holds."""

    side: Side
    schema_name: str | None = Field(description="Schema of the warehouse; null for the replica.")
    revision: str | None = Field(description="Version of the tables.")
    tables: list[TableSize]
    bytes_database: int
    newest_batch: NewestBatch | None
    cache_hit_ratio: float | None = Field(description="Share of reads that the server's cache answered.")
    connections: dict[str, int] | None = Field(description="Connections to the server by state.")
    connections_allowed: int | None


class Configuration(Entity):
    """The settings of the warehouse's server."""

    settings: dict[str, str] = Field(description="By variable; secrets are `***`.")
    problems: list[str] = Field(description="What cannot work, each with its remedy.")


class SchemasCreated(Entity):
    """What making the schemas has done."""

    schemas: list[str] = Field(description="Schemas that are there now.")
    created: list[str] = Field(description="Those that were made by this request.")


class TablesCreated(Entity):
    """What making the tables has done."""

    revision: str | None = Field(description="Version of the tables now.")
    revision_before: str | None
    changed: bool


class ValidateRequest(Days):
    """What to check."""

    side: Side | None = Field(None, description="By default the side that serves.", examples=["primary"])


class Difference(Entity):
    """A difference between what is expected and what was found."""

    check: str
    subject: str
    expected: str
    found: str
    examples: list[str]
    remedy: str


class Validation(Entity):
    """What a check has found."""

    whole: bool = Field(description="True if no differences were found.")
    side: Side
    days: int = Field(description="Invoice days that were compared with Gold.")
    rows: int
    amount: str = Field(description="GBP of these lines, a decimal string.", examples=["16921455.5340"])
    unpublished: list[str] = Field(description="Batch and day of facts in Gold that were never published.")
    differences: list[Difference]
