"""A real S3 server (versitygw, which `make s3-server` builds), and a way to it that is slow or loses an answer.

Usage of the latter: python -m tests.support.object_store PORT SECONDS LOST
"""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from include.lake.connect_server import free_port
from include.settings import PROJECT_ROOT

SERVER = PROJECT_ROOT / ".s3-server" / "versitygw"
JARS = PROJECT_ROOT / "data" / "services" / "s3-jars"
BUCKET = "retail"
KEY, SECRET = "retail-key", "retail-secret"

_COMMIT = re.compile(rb"^PUT \S+/_delta_log/\d{20}\.json ")


def environment(port: int) -> dict[str, str]:
    """Return the variables by which the server at a port is found."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


@contextmanager
def object_store(folder: Path, port: int | None = None) -> Iterator[int]:
    """Yield the port of a server with one bucket, whose objects are below `folder`."""
    port = port or free_port()
    (folder / BUCKET).mkdir(parents=True, exist_ok=True)
    command = [str(SERVER), "--quiet", "--port", f"127.0.0.1:{port}", "--region", "eu-west-1", "posix", str(folder)]
    keys = {"ROOT_ACCESS_KEY_ID": KEY, "ROOT_SECRET_ACCESS_KEY": SECRET}
    with (folder.parent / "s3.log").open("ab") as log, subprocess.Popen(command, env=keys, stdout=log) as process:
        try:
            _await(port)
            yield port
        finally:
            process.terminate()


@contextmanager
def disturbed(port: int, seconds: float = 0.0, lost: int = 0) -> Iterator[int]:
    """Yield the port of a way to the server that delays each commit, and loses the answers to the first few.

    Args:
        port: Where the server is.
        seconds: How long a commit is held back; of two writers that have found a version free both then write it.
        lost: How many answers to commits never arrive.
    """
    words = [sys.executable, "-m", __name__, str(port), str(seconds), str(lost)]
    with subprocess.Popen(words, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def _await(port: int) -> None:
    while True:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)


class _Way:
    """Passes on one request a connection."""

    def __init__(self, port: int, seconds: float, lost: int) -> None:
        self.port, self.seconds, self.lost = port, seconds, lost

    async def passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on a request and its answer."""
        with suppress(asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if b"\r\nExpect: 100-continue\r\n" in head:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                head = head.replace(b"\r\nExpect: 100-continue\r\n", b"\r\n")
            length = re.search(rb"\r\ncontent-length: *(\d+)\r\n", head, re.IGNORECASE)
            body = await reader.readexactly(int(length[1])) if length else b""
            commit = _COMMIT.match(head) is not None
            if commit:
                await asyncio.sleep(self.seconds)
            answers, requests = await asyncio.open_connection("127.0.0.1", self.port)
            once = re.sub(rb"\r\nconnection: [^\r]*", b"", head, flags=re.IGNORECASE)
            requests.write(once[:-2] + b"Connection: close\r\n\r\n" + body)
            answer = await answers.read()
            requests.close()
            if commit and self.lost > 0:
                self.lost -= 1
            else:
                writer.write(answer)
                await writer.drain()
        writer.close()


async def _serve(way: _Way) -> None:
    server = await asyncio.start_server(way.passed, "127.0.0.1", 0, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(_Way(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))))
