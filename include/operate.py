"""The operator's command line: `python -m include.operate --help`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from alembic.util import CommandError
from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection, Engine

from include.backup import BackupFailed, Backups, Restored, back_up, list_backups, restore
from include.failover import (
    Comparison,
    IntegrityReport,
    Publication,
    Repaired,
    ReplicaUnusable,
    apply_refused,
    catch_up,
    check_integrity,
    compare_sides,
    days_with_facts,
    discard_refused,
    publish,
    read,
    refresh_replica,
    repair,
    schema_version,
    serving_side,
    status,
    update_replica,
)
from include.settings import Settings, get_settings
from include.warehouse import (
    KEPT,
    ConnectionHealth,
    GoldBatch,
    GoldUnreadable,
    PublishError,
    WarehouseMisconfigured,
    WarehouseUnavailable,
    connection_health,
    data_dictionary,
    downgrade,
    latest_sales,
    masked,
    open_engine,
    problems,
    purge_staging,
    secure,
    statistics,
    totals,
    transaction,
    unsecured,
    upgrade,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Without the program's name; those of the process if not given.

    Returns:
        0, or 1 after printing in one sentence what went wrong, or if a check found differences.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    action: Callable[[argparse.Namespace, Settings], Any] = options.action
    try:
        result = action(options, get_settings())
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            print(
                f"{'.'.join(map(str, problem['loc']))}: {problem['msg'].removeprefix('Value error, ')}", file=sys.stderr
            )
        return 1
    except (
        BackupFailed,
        WarehouseUnavailable,
        PublishError,
        ReplicaUnusable,
        GoldUnreadable,
        CommandError,
        ValueError,
    ) as error:
        print(error, file=sys.stderr)
        return 1
    document = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
    print(document if isinstance(document, str) else json.dumps(document, indent=2, default=str))
    return 1 if isinstance(result, Comparison | IntegrityReport | Backups | Restored) and not result.whole else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m include.operate", description="The warehouse that DATABASE_URL names."
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    check = actions.add_parser("check", help="check the settings and the connection; 1 if one cannot work")
    check.set_defaults(action=_check)

    migrate = actions.add_parser("migrate", help="bring the schema to a revision; does nothing if it is there")
    migrate.add_argument("--revision", default="head", help="revision to reach (default: the newest)")
    migrate.add_argument(
        "--down",
        action="store_true",
        help="go back to --revision; `base` drops the warehouse's tables and data",
    )
    migrate.set_defaults(action=_migrate)

    publishing = actions.add_parser("publish", help="make a batch live, from staging or from Gold")
    publishing.add_argument("batch_id", help="batch, such as 20101201T082600-0a1b2c3d")
    publishing.add_argument("--run-id", required=True, help="run the batch belongs to")
    publishing.add_argument("--token", required=True, help="token in the run's stages/gold.json")
    publishing.add_argument(
        "--rebuild-day",
        action="append",
        default=[],
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="invoice day the batch rebuilds; repeat it for several (default: the batch is a drop)",
    )
    publishing.add_argument(
        "--source-batch",
        action="append",
        metavar="BATCH_ID",
        help="batch the rebuild was made from; repeat it for several",
    )
    publishing.set_defaults(action=_publish)

    actions.add_parser(
        "status", help="both sides: reachable, rows, GBP, newest batch, pending batches, which one serves"
    ).set_defaults(action=lambda _, settings: status(settings))
    actions.add_parser("refresh-replica", help="rebuild the replica from Gold").set_defaults(
        action=lambda _, settings: refresh_replica(settings)
    )
    actions.add_parser(
        "catch-up", help="bring the primary what it lacks, compare it, and let it serve again"
    ).set_defaults(action=lambda _, settings: catch_up(settings))

    applying = actions.add_parser("apply", help="publish a batch that the primary refused, after that was mended")
    applying.add_argument("batch_id", help="batch that `status` lists as refused")
    applying.set_defaults(action=lambda options, settings: apply_refused(settings, options.batch_id))
    discarding = actions.add_parser("discard", help="give up a batch that the primary refused")
    discarding.add_argument("batch_id", help="batch that `status` lists as refused")
    discarding.set_defaults(action=lambda options, settings: discard_refused(settings, options.batch_id))

    comparing = actions.add_parser("compare", help="hold both sides against Gold, day by day and row by row")
    comparing.add_argument("--day", type=date.fromisoformat, metavar="YYYY-MM-DD", help="only this invoice day")
    comparing.set_defaults(
        action=lambda options, settings: compare_sides(settings, [options.day] if options.day else None)
    )

    checking = actions.add_parser(
        "integrity", help="check keys, orphans, duplicates, money, balances, and against Gold"
    )
    checking.add_argument("--side", choices=["primary", "replica"], help="default: the one that serves")
    _add_range(checking)
    checking.set_defaults(
        action=lambda options, settings: check_integrity(
            settings, options.side or serving_side(settings), options.first, options.last
        )
    )

    repairing = actions.add_parser("repair", help="make invoice days what Gold has")
    repairing.add_argument(
        "--day",
        action="append",
        default=[],
        type=date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="invoice day; repeat it for several",
    )
    repairing.add_argument("--side", choices=["primary", "replica"], help="default: both")
    _add_range(repairing)
    repairing.set_defaults(action=_repair)

    backing_up = actions.add_parser("backup", help="back up the lake, the records of the runs and the audit trail")
    backing_up.add_argument(
        "--without-primary", action="store_true", help="leave out the audit trail, as when PostgreSQL is away"
    )
    backing_up.set_defaults(action=lambda options, settings: back_up(settings, without_primary=options.without_primary))

    listing = actions.add_parser("backups", help="list the backups, and which are damaged; 1 if one is")
    listing.add_argument("--quick", action="store_true", help="compare the sizes of files only, not their content")
    listing.set_defaults(action=lambda options, settings: list_backups(settings, hashed=not options.quick))

    restoring = actions.add_parser("restore", help="make everything what a backup has, and compare it to the row")
    restoring.add_argument(
        "backup", nargs="?", help="its name (default: the one whose restore was cut off, else the newest whole one)"
    )
    restoring.add_argument("--replace", action="store_true", help="replace data that is there, for good")
    restoring.add_argument(
        "--only-primary", action="store_true", help="make PostgreSQL alone, from the Gold in use, with the audit trail"
    )
    restoring.set_defaults(
        action=lambda options, settings: restore(
            settings, options.backup, replace=options.replace, only_primary=options.only_primary
        )
    )

    show = actions.add_parser("totals", help="rows and GBP in the fact table, by kind")
    show.add_argument("--latest", type=int, default=0, metavar="N", help="show the newest N sales too")
    show.set_defaults(action=_totals)

    purge = actions.add_parser("purge-staging", help="drop staging tables that no publish has come for")
    purge.add_argument("--older-than-days", type=float, default=KEPT / timedelta(days=1), help="default: %(default)g")
    purge.set_defaults(action=_purge_staging)

    counts = actions.add_parser("statistics", help="rows and bytes by table, newest batch, cache and connections")
    counts.set_defaults(action=_statistics)

    security = actions.add_parser("secure", help="put every table of a Supabase warehouse under row-level security")
    security.set_defaults(action=lambda options, settings: secure(settings).model_dump())

    dictionary = actions.add_parser("dictionary", help="print the data dictionary, as docs/data-dictionary.md holds it")
    dictionary.set_defaults(action=lambda options, settings: data_dictionary())
    return parser


def _check(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    if found := problems(settings):
        raise WarehouseMisconfigured("\n".join(found))
    if settings.database_type == "sqlite":
        return {"settings": masked(settings)}
    with open_engine(settings, pool_size=1) as engine:
        health = connection_health(engine, settings)
        if health.error:
            raise WarehouseUnavailable(health.error)
        if found := list(_state_problems(engine, settings, health)):
            raise WarehouseMisconfigured("\n".join(found))
    return health.model_dump(mode="json")


def _state_problems(engine: Engine, settings: Settings, health: ConnectionHealth) -> Iterator[str]:
    if health.read_only:
        yield f"{health.server} takes no writes: let DATABASE_URL lead to the primary server."
    if settings.row_level_security:
        with transaction(engine) as connection:
            tables = unsecured(connection, settings)
        if tables:
            yield f"Not under row-level security: {', '.join(tables)}. Run `python -m include.operate secure`."


def _statistics(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    with open_engine(settings, pool_size=1) as engine:
        return statistics(engine, settings).model_dump(mode="json")


def _add_range(parser: argparse.ArgumentParser) -> None:
    for name, which in (("--from", "first"), ("--to", "last")):
        parser.add_argument(
            name, dest=which, type=date.fromisoformat, metavar="YYYY-MM-DD", help=f"{which} invoice day (default: all)"
        )


def _migrate(options: argparse.Namespace, settings: Settings) -> dict[str, str | None]:
    if options.down and options.revision == "head":
        raise ValueError("Say which --revision to go back to; `base` drops the warehouse's tables and data.")
    if settings.database_type == "sqlite":
        return {"schema": None, "revision": schema_version()}  # publishing makes the file
    run = downgrade if options.down else upgrade
    return {"schema": settings.warehouse_schema, "revision": run(settings, options.revision)}


def _publish(options: argparse.Namespace, settings: Settings) -> Publication:
    days: list[date] = options.rebuild_day
    batch = GoldBatch(
        batch_id=options.batch_id,
        run_id=options.run_id,
        kind="rebuild" if days else "drop",
        token=options.token,
        days=days,
        source_batches=options.source_batch,
    )
    publication, update = publish(settings, batch), update_replica(settings)
    return publication.with_replica(update.warnings, update.seconds)


def _repair(options: argparse.Namespace, settings: Settings) -> Repaired:
    days: list[date] = options.day
    if options.first or options.last or not days:
        days = days + days_with_facts(settings, options.first, options.last)
    return repair(settings, days, options.side)


def _totals(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    def found(connection: Connection) -> dict[str, Any]:
        latest = {"latest": latest_sales(connection, options.latest)} if options.latest else {}
        return totals(connection) | latest

    answer = read(settings, found)
    return {"warehouse": answer.side} | answer.value


def _purge_staging(options: argparse.Namespace, settings: Settings) -> dict[str, list[str]]:
    older_than = timedelta(days=options.older_than_days)
    with open_engine(settings) as engine:
        return {"dropped": purge_staging(engine, settings, older_than)}


if __name__ == "__main__":
    sys.exit(main())
