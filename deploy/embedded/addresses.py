"""Where an instance listens: its TCP ports and its supervisor's control socket.

`python -m deploy.embedded.addresses` says whether a first start would find its ports free. It imports no more than the
settings need, so that `make run` can ask before the large packages are installed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import sys
import tempfile
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from include.files import write_atomically
from include.settings import PROJECT_ROOT, get_settings

MAX_SOCKET_PATH = 100


class Ports(BaseSettings):
    """TCP ports on 127.0.0.1; each is set by `RETAIL_<NAME>`, such as `RETAIL_API_PORT`."""

    model_config = SettingsConfigDict(env_prefix="RETAIL_", env_file=PROJECT_ROOT / ".env", extra="ignore")

    api_port: int = Field(default=8080, ge=1, le=65535)
    postgres_port: int = Field(default=54329, ge=1, le=65535)
    search_port: int = Field(default=8108, ge=1, le=65535)
    search_peering_port: int = Field(default=8107, ge=1, le=65535)


class PortTaken(Exception):
    """A port we need cannot be listened on."""


class PortsDiffer(Exception):
    """A variable asks for another port than the running instance has."""


def services_folder(data_dir: Path) -> Path:
    """Return where an instance keeps its services' files."""
    return data_dir / "services"


def _saved(services: Path) -> dict[str, int]:
    try:
        found: dict[str, int] = json.loads((services / "ports.json").read_bytes())
    except FileNotFoundError:
        return {}
    return found


def save_ports(services: Path, ports: Ports) -> None:
    """Keep the ports an instance is started with for the commands that come later."""
    write_atomically(services / "ports.json", ports.model_dump_json())


def chosen_ports(services: Path) -> Ports:
    """Return the ports that variables name; the others as the instance was last started, by default the usual ones.

    Raises:
        pydantic.ValidationError: If a variable is not the number of a port.
    """
    return Ports.model_validate(_saved(services) | Ports().model_dump(exclude_unset=True))


def check_running_ports(services: Path) -> None:
    """Raise if a variable asks for another port than the running instance has.

    Raises:
        PortsDiffer: Naming both ports and the remedy.
    """
    saved = _saved(services)
    for name, port in Ports().model_dump(exclude_unset=True).items():
        if saved.get(name, port) != port:
            variable = f"RETAIL_{name.upper()}"
            raise PortsDiffer(
                f"The instance runs with {variable}={saved[name]}, not {port}: leave {variable} out, "
                "or stop the instance (`make stop`) to start it on another port."
            )


def check_free(ports: Ports) -> None:
    """Raise unless every port is free.

    Raises:
        PortTaken: Naming the port and the variable that changes it.
    """
    used: dict[int, str] = {}
    for name, port in ports.model_dump().items():
        if port in used:
            raise PortTaken(f"RETAIL_{used[port].upper()} and RETAIL_{name.upper()} are both {port}: change one.")
        used[port] = name
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                taken = error.errno == errno.EADDRINUSE
                problem = "is taken by another program" if taken else f"cannot be used ({error.strerror})"
                raise PortTaken(f"Port {port} {problem}. Set RETAIL_{name.upper()} to a free port.") from None


def control_socket(services: Path) -> Path:
    """Return the supervisor's socket; a short path elsewhere if the data folder's is too long for a Unix socket."""
    path = services / "supervisor.sock"
    if len(str(path)) <= MAX_SOCKET_PATH:
        return path
    folder = Path(os.environ.get("XDG_RUNTIME_DIR", tempfile.gettempdir()))
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    return folder / f"retail-{os.geteuid()}-{digest}.sock"


def is_running(services: Path) -> bool:
    """Return whether the instance's supervisor listens; a socket that a crash left behind does not count."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(control_socket(services)))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def settings_problem(error: ValueError) -> str:
    """Return in one sentence which settings are unusable, without their values: one may be a secret."""
    if not isinstance(error, ValidationError):
        return f"The settings cannot be read: {error}."
    problems = []
    for entry in error.errors(include_input=False, include_url=False):
        name = ".".join(str(part) for part in entry["loc"])
        variable = name if name.isupper() else f"RETAIL_{name.upper()}"
        problems.append(f"{variable} is unusable ({entry['msg']})")
    return f"{'; '.join(problems)}. Correct it in the environment or in {PROJECT_ROOT / '.env'}."


def main() -> int:
    """Print what stands in the way of a first start; return 0 if nothing does or the instance runs."""
    try:
        services = services_folder(get_settings().data_dir)
        if not is_running(services):
            check_free(chosen_ports(services))
    except (PortTaken, OSError) as error:
        print(error)
        return 1
    except ValueError as error:
        print(settings_problem(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
