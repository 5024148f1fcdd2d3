"""Migrate Airflow's database and create its users, in one process since each Airflow start costs many seconds.

Reads the passwords as JSON ({"user": "password"}) from standard input; the first user becomes Admin, the others Op.
With `--new-only` users that are there keep their passwords.
"""

from __future__ import annotations

import json
import sys

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils.db import initdb


def main(*options: str) -> None:
    """Create each user, or set its password if it exists and may be changed."""
    passwords: dict[str, str] = json.load(sys.stdin)
    initdb()
    with get_application_builder() as builder:
        manager = builder.sm
        for number, (name, password) in enumerate(passwords.items()):
            role = manager.find_role("Admin" if number == 0 else "Op")
            user = manager.find_user(username=name)
            if user:
                if "--new-only" not in options:
                    manager.reset_password(user.id, password)
            elif not manager.add_user(name, name, "Retail", f"{name}@localhost", role, password):
                raise SystemExit(f"Airflow did not accept user {name}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
