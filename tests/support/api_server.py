"""A real Airflow API server with two workers, its users in a real metadata database, and a PostgreSQL to disturb."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
from pydantic import SecretStr
from werkzeug.security import generate_password_hash

from deploy.embedded.postgres import PostgresServer
from include.lake.connect_server import free_port
from include.settings import PROJECT_ROOT, Settings
from include.warehouse import upgrade
from tests.support.batches import lines_of
from tests.support.lake import Lake
from tests.support.servers import Victim
from tests.support.steps import publish
from tests.support.waiting import eventually

ADMIN, OPERATOR = "admin", "operator"
AUTH_SECONDS = 1.0
FAILURES = 3
WINDOW_SECONDS = 12.0
START_SECONDS = 300


class Server:
    """The server.

    Attributes:
        url: Where it listens.
        settings: Those it has been given.
        passwords: User -> password.
    """

    def __init__(self, folder: Path) -> None:
        postgres = PostgresServer(folder / "cluster", free_port(), secrets.token_urlsafe(16))
        postgres.initialise()
        postgres.start()
        self.victim = Victim(postgres)
        for name in ("airflow", "warehouse"):
            postgres.create_database(name)
        self.settings = Settings(
            _env_file=None, data_dir=folder / "data", database_url=SecretStr(postgres.url("warehouse"))
        )
        upgrade(self.settings)
        publish(self.settings, Lake(self.settings).drop(1, lines_of(40)))
        self.url = f"http://127.0.0.1:{free_port()}"
        self.log = folder / "api-server.log"
        self.passwords = {ADMIN: secrets.token_urlsafe(), OPERATOR: secrets.token_urlsafe()}
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = os.environ | {
            "PYTHONPATH": str(PROJECT_ROOT),
            "AIRFLOW_HOME": str(PROJECT_ROOT),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url("airflow", "postgresql+psycopg2"),
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
            "AIRFLOW__API__PORT": self.url.rpartition(":")[2],
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "2",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder / "logs"),
            "DATABASE_URL": postgres.url("warehouse"),
            "RETAIL_DATA_DIR": str(self.settings.data_dir),
            "RETAIL_API_AUTH_SECONDS": str(AUTH_SECONDS),
            "RETAIL_API_LOGIN_FAILURES": str(FAILURES),
            "RETAIL_API_LOGIN_WINDOW_SECONDS": str(WINDOW_SECONDS),
        }

    def start(self) -> None:
        """Make the two users and start the server; return when both workers answer."""
        subprocess.run(
            [sys.executable, "-m", "deploy.embedded.users"],
            env=self._environment,
            cwd=PROJECT_ROOT,
            input=json.dumps(self.passwords).encode(),
            capture_output=True,
            check=True,
        )
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(Path(sys.executable).parent / "airflow"), "api-server"],
                env=self._environment,
                cwd=PROJECT_ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            eventually(self._has_started, START_SECONDS)
        except AssertionError as error:
            raise AssertionError(self.log.read_text(errors="replace")) from error

    def stop(self) -> None:
        """Stop the server and its PostgreSQL."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
        self.victim.server.stop()

    def _has_started(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None
        return self.log.read_text(errors="replace").count("Application startup complete") >= 2

    @contextmanager
    def client(self, user: str = "", *, address: str = "127.0.0.1", **options: Any) -> Iterator[httpx.Client]:
        """Yield a client that speaks from a loopback address, as a user if one is named."""
        auth = (user, self.passwords[user]) if user else None
        transport = httpx.HTTPTransport(local_address=address)
        with httpx.Client(
            base_url=self.url, auth=auth, transport=transport, trust_env=False, timeout=30, **options
        ) as client:
            yield client

    def cpu_seconds(self) -> float:
        """Return the processor time that the server has taken so far, whatever else the machine does."""
        assert self._process is not None
        main = psutil.Process(self._process.pid)
        times = [process.cpu_times() for process in (main, *main.children(recursive=True))]
        return float(sum(time.user + time.system for time in times))

    def token(self, user: str) -> str:
        """Return a token that Airflow issues to a user."""
        with self.client() as client:
            answer = client.post("/auth/token", json={"username": user, "password": self.passwords[user]})
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["access_token"]
        return token

    def metadata(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement on Airflow's database."""
        return self._run("airflow", statement, values)

    def warehouse(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement on the warehouse."""
        return self._run("warehouse", statement, values)

    def add_user(self, name: str, *roles: str) -> None:
        """Make a user with a new password."""
        self.passwords[name] = secrets.token_urlsafe()
        self.metadata(
            "INSERT INTO ab_user (id, first_name, last_name, username, email, password, active) "
            "VALUES (nextval('ab_user_id_seq'), %s, %s, %s, %s, %s, true)",
            *(name, name, name, f"{name}@localhost", generate_password_hash(self.passwords[name])),
        )
        for role in roles:
            self.metadata(
                "INSERT INTO ab_user_role (id, user_id, role_id) SELECT nextval('ab_user_role_id_seq'), u.id, r.id "
                "FROM ab_user u, ab_role r WHERE u.username = %s AND r.name = %s",
                *(name, role),
            )

    def _run(self, database: str, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.victim.server.url(database, "postgresql")) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []
