"""The warehouse's server, its tables, and whether they are whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError

from include.domain.money import printed
from include.failover import REPLICA_TABLES, Answer, Warehouse, check_integrity, replica_link, schema_version
from include.settings import Settings
from include.warehouse import (
    SQLITE,
    ConnectionHealth,
    GoldUnreadable,
    WarehouseMisconfigured,
    WarehouseUnavailable,
    connection_health,
    create_schemas,
    current_revision,
    error_text,
    masked,
    newest_batch_of,
    primary_failed,
    problems,
    star_table,
    statistics_of,
    transaction,
    upgrade,
    warehouse_url,
    watched_engine,
)
from retail_api.domain.errors import Conflict, Unavailable
from retail_api.domain.warehouse import (
    Configuration,
    Difference,
    SchemasCreated,
    Statistics,
    TablesCreated,
    TableSize,
    ValidateRequest,
    Validation,
)

MAKING_SECONDS = 600.0
"""How long making the tables may take."""

CONNECTION_SECONDS = 10.0

Answers = Callable[[], bool]
"""Tells at once whether the server answers."""


class WarehouseService:
    """Tells of the warehouse, and makes and checks its tables."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def statistics(self, warehouse: Warehouse) -> Answer[Statistics]:
        """Return what the side that serves holds.

        Raises:
            WarehouseUnavailable: If neither side answers.
        """
        return warehouse.read(self._statistics)

    def configuration(self) -> Configuration:
        """Return the settings of the server, secrets masked, and what of them cannot work."""
        return Configuration(settings=masked(self._settings), problems=problems(self._settings))

    def connection(self, answers: Answers) -> ConnectionHealth:
        """Return how this process would be connected to the server now; it may be down, or there may be none."""
        try:
            self._require(answers)
            with watched_engine(self._settings, CONNECTION_SECONDS) as engine:
                return connection_health(engine, self._settings)
        except WarehouseUnavailable as error:
            return ConnectionHealth(
                status="down",
                error=str(error),
                server="",
                sslmode="",
                transaction_pooler=False,
                settings=masked(self._settings),
            )

    def create_schemas(self, answers: Answers) -> SchemasCreated:
        """Make the schemas if they are not there.

        Raises:
            Conflict: If there is no PostgreSQL, its settings cannot work, or it refuses.
            WarehouseUnavailable: If the server cannot be reached.
        """
        with self._making(answers) as engine:
            created = create_schemas(self._settings, engine)
        return SchemasCreated(schemas=[self._settings.warehouse_schema, self._settings.staging_schema], created=created)

    def create_tables(self, answers: Answers) -> TablesCreated:
        """Bring the tables to the newest revision if they are not there.

        Raises:
            Conflict: If there is no PostgreSQL, its settings cannot work, or it refuses.
            WarehouseUnavailable: If the server cannot be reached.
        """
        with self._making(answers) as engine:
            with transaction(engine) as connection:
                before = current_revision(connection, self._settings)
            now = upgrade(self._settings, engine=engine)
        return TablesCreated(revision=now, revision_before=before, changed=now != before)

    def validate(self, request: ValidateRequest, warehouse: Warehouse) -> Answer[Validation]:
        """Check one side; changes nothing.

        Raises:
            Conflict: If there is no such side.
            Unavailable: If Gold cannot be read.
            WarehouseUnavailable: If the side does not answer.
        """
        side = request.side or warehouse.serves()
        try:
            if side == "primary":
                self._require(warehouse.primary_answers)
            report = check_integrity(self._settings, side, request.date_from, request.date_to)
        except WarehouseMisconfigured as error:
            raise Conflict(str(error)) from error
        except GoldUnreadable as error:
            raise Unavailable(f"Gold cannot be read, so nothing can be held against it: {error}") from error
        except DBAPIError as error:
            if primary_failed(error):
                raise WarehouseUnavailable(error_text(error)) from error
            raise
        found = Validation(
            whole=report.whole,
            side=report.side,
            days=report.days,
            rows=report.rows,
            amount=str(printed(report.amount)),
            unpublished=report.unpublished,
            differences=[Difference.model_validate(entry.model_dump()) for entry in report.differences],
        )
        return Answer(found, side)

    def _require(self, answers: Answers) -> None:
        """Raise at once, rather than after time-outs, if there is no server that answers."""
        warehouse_url(self._settings)
        if not answers():
            raise WarehouseUnavailable("The server does not answer.")

    @contextmanager
    def _making(self, answers: Answers) -> Iterator[Engine]:
        """Yield an engine to change the schema with; what the server says against it becomes a `Conflict`."""
        try:
            self._require(answers)
            with watched_engine(self._settings, MAKING_SECONDS) as engine:
                yield engine
        except WarehouseMisconfigured as error:
            raise Conflict(str(error)) from error
        except DBAPIError as error:
            if primary_failed(error):
                raise WarehouseUnavailable(error_text(error)) from error
            raise Conflict(
                f"The server refuses: {error_text(error)}. The role of DATABASE_URL may lack the right to CREATE."
            ) from error

    def _statistics(self, connection: Connection) -> Statistics:
        if connection.dialect.name == SQLITE:
            return self._of_replica(connection)
        found = statistics_of(connection, self._settings)
        return Statistics.model_validate(
            found.model_dump(exclude={"tables"})
            | {"side": "primary", "tables": [table.model_dump() for table in found.tables]}
        )

    def _of_replica(self, connection: Connection) -> Statistics:
        tables = [
            TableSize(
                name=name,
                rows=connection.execute(select(func.count()).select_from(star_table(name))).scalar_one(),
                counted=True,
                bytes_total=None,
                bytes_indices=None,
            )
            for name in sorted(REPLICA_TABLES)
        ]
        return Statistics(
            side="replica",
            schema_name=None,
            revision=schema_version(),
            tables=tables,
            bytes_database=replica_link(self._settings).stat().st_size,
            newest_batch=newest_batch_of(connection, self._settings),
            cache_hit_ratio=None,
            connections=None,
            connections_allowed=None,
        )
