"""Create Airflow's metadata database beside the warehouse, if the server lacks it.

Usage: python -m deploy.databases, with Airflow's database configured.
"""

from __future__ import annotations

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url


def server_of(target: URL) -> str:
    """Return how libpq reaches the server of a database, by the one that every server has; options of the URL stay."""
    return target.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)


def create_database(url: str) -> bool:
    """Create the database that an SQLAlchemy URL names; return whether it was missing.

    Raises:
        psycopg.OperationalError: If the server cannot be reached.
    """
    target = make_url(url)
    with psycopg.connect(server_of(target), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [target.database]).fetchone():
            return False
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(target.database or "")))
        return True


if __name__ == "__main__":
    from airflow.configuration import conf

    create_database(conf.get("database", "sql_alchemy_conn"))
