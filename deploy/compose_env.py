"""Write deploy/compose.env: the secrets of the containers, generated once, readable by the owner only.

Usage: python -m deploy.compose_env
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path

from deploy.embedded.state import ADMIN, CLI_USER, Secrets
from include.settings import PROJECT_ROOT


def write(path: Path) -> str:
    """Write the file, or add the secrets that one of an earlier version lacks; those in it are in use and stay.

    Returns:
        The generated password of the Airflow user `admin`; empty if the file was there.
    """
    known, password = Secrets(), secrets.token_urlsafe(12)
    there = path.read_text() if path.exists() else ""
    kept = {line.partition("=")[0] for line in there.splitlines()}
    values = {
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "FERNET_KEY": known.fernet_key,
        "API_SECRET_KEY": known.api_secret_key,
        "JWT_SECRET": known.jwt_secret,
        "TYPESENSE_API_KEY": known.typesense_api_key,
        "TYPESENSE_SEARCH_KEY": known.typesense_search_key,
        "AIRFLOW_USERS": f"'{json.dumps({ADMIN: password, CLI_USER: known.cli_password})}'",
    }
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as stream:
        if there and not there.endswith("\n"):
            stream.write("\n")
        stream.writelines(f"{name}={value}\n" for name, value in values.items() if name not in kept)
    return "" if there else password


def main() -> int:
    """Run the command line."""
    path = PROJECT_ROOT / "deploy" / "compose.env"
    password = write(path)
    if password:
        print(f"Wrote {path}. Airflow user {ADMIN}, password {password}")
    else:
        print(f"{path} was there already; its secrets are kept, and those it lacked are added.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
