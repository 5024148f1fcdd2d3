"""Migrate Airflow's database and create its users, in one process since each Airflow start costs many seconds.

Reads the passwords as JSON ({"user": "password"}) from standard input; the first user becomes Admin, the others Op.
"""

from __future__ import annotations

import json
import sys

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils.db import initdb


def main() -> None:
    """Create each user, or set its password if it exists."""
    passwords: dict[str, str] = json.load(sys.stdin)
    initdb()
    with get_application_builder() as builder:
        manager = builder.sm
        for number, (name, password) in enumerate(passwords.items()):
            role = manager.find_role("Admin" if number == 0 else "Op")
            user = manager.find_user(username=name)
            if user:
                manager.reset_password(user.id, password)
            elif not manager.add_user(name, name, "Retail", f"{name}@localhost", role, password):
                raise SystemExit(f"Airflow did not accept user {name}.")


if __name__ == "__main__":
    main()
