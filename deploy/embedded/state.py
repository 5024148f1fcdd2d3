"""Paths, secrets, ports and the environment of an embedded instance."""

from __future__ import annotations

import base64
import json
import os
import secrets
from pathlib import Path

from pydantic import BaseModel, Field

from deploy.embedded.addresses import chosen_ports, services_folder
from deploy.embedded.postgres import PostgresServer
from deploy.embedded.search import TypesenseServer
from include.files import write_atomically
from include.lake.submitting import submit_environment
from include.settings import EMBEDDED, PROJECT_ROOT, Settings, get_settings

ADMIN = "admin"
CLI_USER = "retail-cli"


class Secrets(BaseModel):
    """Generated keys and passwords of one instance."""

    fernet_key: str = Field(default_factory=lambda: base64.urlsafe_b64encode(os.urandom(32)).decode())
    api_secret_key: str = Field(default_factory=lambda: secrets.token_urlsafe(32))
    jwt_secret: str = Field(default_factory=lambda: secrets.token_urlsafe(48))
    postgres_password: str = Field(default_factory=lambda: secrets.token_urlsafe(24))
    cli_password: str = Field(default_factory=lambda: secrets.token_urlsafe(24))
    typesense_api_key: str = Field(default_factory=lambda: secrets.token_urlsafe(32))
    typesense_search_key: str = Field(default_factory=lambda: secrets.token_urlsafe(32))


class Instance:
    """Where one embedded instance keeps its state, and what its processes are given."""

    def __init__(self, settings: Settings | None = None) -> None:
        """Take the process's settings unless others are given.

        Raises:
            ValueError: If a setting or the number of a port is unusable.
        """
        self.settings = settings or get_settings()
        self.services = services_folder(self.settings.data_dir)
        self.ports = chosen_ports(self.services)
        self.logs = self.services / "logs"

    def secrets(self) -> Secrets:
        """Return the instance's secrets, generated at the first call and readable by the owner only.

        Those that an instance of an earlier version lacks are added.
        """
        path = self.services / "secrets" / "secrets.json"
        kept = json.loads(path.read_bytes()) if path.exists() else {}
        if not kept.keys() >= Secrets.model_fields.keys():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.parent.chmod(0o700)
            write_atomically(path, Secrets.model_validate(kept).model_dump_json(), mode=0o600)
        return Secrets.model_validate_json(path.read_bytes())

    def netrc(self) -> Path:
        """Return the file with the service user's sign-in for `curl --netrc-file`; the owner alone may read it."""
        path = self.services / "secrets" / "netrc"
        text = f"machine 127.0.0.1 login {CLI_USER} password {self.secrets().cli_password}\n"
        if not path.exists() or path.read_text() != text:
            write_atomically(path, text, mode=0o600)
        return path

    def postgres(self) -> PostgresServer:
        """Return the embedded PostgreSQL (running or not)."""
        return PostgresServer(self.services / "postgres", self.ports.postgres_port, self.secrets().postgres_password)

    def search(self) -> TypesenseServer | None:
        """Return the embedded Typesense (running or not); None if the settings name another one."""
        if self.settings.typesense_nodes:
            return None
        return TypesenseServer(
            self.services / "typesense",
            self.ports.search_port,
            self.ports.search_peering_port,
            self.secrets().typesense_api_key,
        )

    @property
    def keeps_spark(self) -> bool:
        """Whether the stages run on a Spark Connect server of this instance: unless another Spark is named."""
        remote = self.settings.spark_remote.get_secret_value()
        return remote == EMBEDDED or not (remote or os.environ.get("AIRFLOW_CONN_SPARK_DEFAULT"))

    def base_url(self) -> str:
        """Return the address of Airflow's API server and web interface."""
        return f"http://127.0.0.1:{self.ports.api_port}"

    def _warehouse_url(self, postgres: PostgresServer) -> str:
        if self.settings.database_type == "sqlite":
            return ""
        return self.settings.database_url.get_secret_value() or postgres.url("warehouse")

    def environment(self) -> dict[str, str]:
        """Return the environment of every Airflow component, secrets included."""
        known = self.secrets()
        postgres, search = self.postgres(), self.search()
        (self.services / "spark-local").mkdir(parents=True, exist_ok=True)
        return submit_environment() | {
            "AIRFLOW_HOME": str(PROJECT_ROOT),
            "RETAIL_DATA_DIR": str(self.settings.data_dir),
            "DATABASE_URL": self._warehouse_url(postgres),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url("airflow", "postgresql+psycopg2"),
            "AIRFLOW__CORE__FERNET_KEY": known.fernet_key,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.base_url()}/execution/",
            "AIRFLOW__API__SECRET_KEY": known.api_secret_key,
            "AIRFLOW__API__PORT": str(self.ports.api_port),
            "AIRFLOW__API__BASE_URL": self.base_url(),
            "AIRFLOW__API_AUTH__JWT_SECRET": known.jwt_secret,
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.logs / "tasks"),
            "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(self.logs / "dag_processor"),
            "AIRFLOW_CONN_SPARK_DEFAULT": os.environ.get(
                "AIRFLOW_CONN_SPARK_DEFAULT", json.dumps({"conn_type": "spark", "host": "local[*]"})
            ),
            "RETAIL_SPARK_REMOTE": EMBEDDED if self.keeps_spark else self.settings.spark_remote.get_secret_value(),
            "AIRFLOW_CONN_FS_DEFAULT": json.dumps({"conn_type": "fs", "extra": {"path": "/"}}),
            **(
                {
                    "TYPESENSE_NODES": search.node,
                    "TYPESENSE_PROTOCOL": "http",
                    "TYPESENSE_API_KEY": known.typesense_api_key,
                    "TYPESENSE_SEARCH_KEY": known.typesense_search_key,
                }
                if search
                else {}
            ),
        }
