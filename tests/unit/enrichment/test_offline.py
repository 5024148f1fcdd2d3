"""A fresh system asks nobody: not a socket is made while everything is looked up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Importing urllib3 binds a socket to the loopback to see whether the machine has IPv6; nothing after that may.
PROGRAM = """
import sys

from include.enrichment.__main__ import app

def refuse(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"opened: {event} {arguments}")

sys.addaudithook(refuse)
app()
"""


def look_up(tmp_path: Path, *arguments: str, program: str = PROGRAM) -> tuple[int, str, str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RETAIL_", "ENABLE_", "ENRICHMENT_", "CURRENCY_"))
    }
    environment |= {"RETAIL_DATA_DIR": str(tmp_path / "data"), "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "disabled"),
    [
        (["fx", "2010-12-01", "2999-01-01"], 1),
        (["country", "EIRE", "Atlantis", "Unspecified"], 2),
        (["related", "white", "hot"], 2),
    ],
)
def test_nothing_is_asked_and_no_file_written_unless_switched_on(
    tmp_path: Path, arguments: list[str], disabled: int
) -> None:
    code, printed, complaints = look_up(tmp_path, *arguments)
    assert (code, complaints) == (0, "")
    account = json.loads(printed)
    assert account["service"]["requests"] == 0
    assert account["service"]["failures"] == {"disabled": disabled}
    assert not (tmp_path / "data").exists()


def test_the_proof_would_notice_a_socket(tmp_path: Path) -> None:
    probe = PROGRAM.replace("app()", "import socket; socket.socket(); app()")
    code, _, complaints = look_up(tmp_path, "fx", "2010-12-01", program=probe)
    assert code == 1
    assert "opened: socket." in complaints


def test_help_names_the_commands(tmp_path: Path) -> None:
    code, printed, _ = look_up(tmp_path, "--help")
    assert code == 0
    for command in ("fx", "country", "related"):
        assert command in printed
