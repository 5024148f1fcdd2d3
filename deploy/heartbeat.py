"""Whether the Airflow component of this container is alive: the health check of containers that serve no HTTP.

Usage: python -m deploy.heartbeat JOB_TYPE, such as SchedulerJob. Ends with 1 if its heartbeat is older than a minute.
`airflow jobs check` asks the same, and takes many times as long for its imports.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from sqlalchemy import create_engine, text

MAX_AGE_SECONDS = 60
ALIVE = text(
    "SELECT count(*) FROM job WHERE job_type = :job_type AND hostname = :host AND state = 'running' "
    "AND latest_heartbeat > now() - make_interval(secs => :age)"
)


def is_alive(url: str, job_type: str, host: str) -> bool:
    """Return whether a job of this type beats on this host, as Airflow's database knows it."""
    with create_engine(url).connect() as connection:
        return bool(connection.execute(ALIVE, {"job_type": job_type, "host": host, "age": MAX_AGE_SECONDS}).scalar())


if __name__ == "__main__":
    database = Path("/run/secrets/airflow_database_url").read_text().strip()
    sys.exit(0 if is_alive(database, sys.argv[1], socket.getfqdn()) else 1)
