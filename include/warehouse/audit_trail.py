"""The audit trail of the API in the warehouse."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from pydantic import Field, field_validator
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert

from include.domain.model import Model
from include.warehouse.schema.tables import star_table

Outcome = Literal["done", "refused", "failed", "unknown"]

LONGEST = 4_000
"""Longer texts of a request are cut."""


class AuditEntry(Model):
    """A change that was asked for, or a caller who was refused; `EtlAudit` explains the members."""

    audit_id: UUID = Field(default_factory=uuid4)
    occurred_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    username: str
    method: str = ""
    address: str
    action: str
    target: str
    outcome: Outcome = "unknown"
    status: int | None = None
    reason: str = ""
    correlation_id: str = ""
    details: dict[str, Any] = Field(default_factory=dict)

    @field_validator("username", "address", "action", "target", "reason", "details", mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        return storable(value)


def storable(value: Any) -> Any:
    """Return a value with texts that PostgreSQL takes: no NUL, no half characters, not too long."""
    match value:
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()[:LONGEST]
        case dict():
            return {str(storable(str(name))): storable(member) for name, member in value.items()}
        case list() | tuple():
            return [storable(member) for member in value]
        case None | bool() | int() | float():
            return value
        case _:
            return storable(str(value))


def save_entries(connection: Connection, entries: Sequence[AuditEntry], *, replace: bool = True) -> None:
    """Write entries to PostgreSQL; one that is there already is replaced, or stays."""
    if not entries:
        return
    table = star_table("etl_audit")
    statement = insert(table)
    replaced = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    if replace:
        statement = statement.on_conflict_do_update(index_elements=["audit_id"], set_=replaced)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=["audit_id"])
    connection.execute(statement, [entry.model_dump() for entry in entries])
