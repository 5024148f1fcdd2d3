"""A fake of the outside services: a real HTTP server on the loopback that answers as they do, or misbehaves."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from include.enrichment.client import ServiceClient
from include.settings import Settings

KEY = "k3yK3YsecretK3Y"
"""The key that the fake of exchangerate-api accepts."""

MakeSettings = Callable[..., Settings]
MakeClient = Callable[..., ServiceClient]


def country(name: str, official: str, cca2: str, cca3: str, **facts: Any) -> dict[str, Any]:
    """Return a country in the shape of REST Countries v3.1, with made-up facts where none are given."""
    return {
        "name": {"common": name, "official": official, "nativeName": {}},
        "tld": [f".{cca2.lower()}"],
        "cca2": cca2,
        "cca3": cca3,
        "independent": True,
        "currencies": {},
        "region": "Europe",
        "subregion": "Northern Europe",
        "continents": ["Europe"],
        "latlng": [50, -1.5],
        "population": 1_234_567,
        **facts,
    }


COUNTRIES = [
    country("Ireland", "Republic of Ireland", "IE", "IRL", population=5_380_300, latlng=[53, -8]),
    country("United Kingdom", "United Kingdom of Great Britain and Northern Ireland", "GB", "GBR"),
    country("Guernsey", "Bailiwick of Guernsey", "GG", "GGY", population=64_000, latlng=[49.46, -2.58]),
    country("Jersey", "Bailiwick of Jersey", "JE", "JEY", population=103_000, latlng=[49.25, -2.16]),
    country("Turkey", "Republic of Turkey", "TR", "TUR", region="Asia", continents=["Europe", "Asia"], subregion=""),
    country("Utopia", "Republic of Utopia", "QU", "QUT", region="Oceania", subregion="", continents=["Oceania"]),
]


def latest_rates(day: date, has_key: bool, **changes: Any) -> dict[str, Any]:
    """Return an answer of exchangerate-api; with a key the map of rates has another name."""
    moment = datetime(day.year, day.month, day.day, 0, 2, 31, tzinfo=UTC)
    quotes = {"GBP": 1, "AUD": 1.9556, "CAD": 1.7762, "CHF": 1.1133, "EUR": 1.1862, "JPY": 189.349, "USD": 1.3138}
    return {
        "result": "success",
        "documentation": "https://www.exchangerate-api.com/docs",
        "time_last_update_unix": int(moment.timestamp()),
        "time_last_update_utc": formatdate(moment.timestamp()),
        "base_code": "GBP",
        "conversion_rates" if has_key else "rates": quotes,
        **changes,
    }


def rates_error(kind: str) -> dict[str, Any]:
    """Return an error of exchangerate-api, which may come with any HTTP status."""
    return {"result": "error", "documentation": "https://www.exchangerate-api.com/docs", "error-type": kind}


class Handler(BaseHTTPRequestHandler):
    """One connection to the fake."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FakeServer

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.requests.append(self.path)
            self.server.keys.append(self.headers.get("Authorization"))
            self.server.moments.append(time.monotonic())
            script = self.server.script
            behaviour = (script.pop(0) if script else None) or self.server.behaviour
        behaviour(self)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


Behaviour = Callable[[Handler], None]


def as_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Behaviour:
    """Answer with a JSON document."""
    return lambda handler: handler.answer(status, json.dumps(value).encode(), headers)


def status(code: int, body: bytes = b"<html>no</html>", headers: dict[str, str] | None = None) -> Behaviour:
    """Answer with an HTTP status and a page that is not JSON."""
    return lambda handler: handler.answer(code, body, headers)


def raw(answer: bytes) -> Behaviour:
    """Send some bytes and hang up."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(answer)
        handler.close_connection = True

    return behave


def hang(seconds: float = 30.0) -> Behaviour:
    """Accept the request and say nothing."""

    def behave(handler: Handler) -> None:
        handler.server.sleep(seconds)
        handler.close_connection = True

    return behave


def drip_body(interval: float = 0.05, length: int = 1_000_000) -> Behaviour:
    """Send the body byte by byte."""

    def behave(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        _drip(handler, interval, length)

    return behave


def drip_headers(interval: float = 0.05) -> Behaviour:
    """Send the headers byte by byte and never finish."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        _drip(handler, interval, 1_000_000)

    return behave


def cut_off(body: bytes = b'{"result": "succ', promised: int = 500) -> Behaviour:
    """Promise more bytes than come, and hang up."""

    def behave(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(promised))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return behave


def endless(chunk: bytes = b"[" * 65_536) -> Behaviour:
    """Send a body without end."""

    def behave(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        try:
            while not handler.server.stopping.is_set():
                handler.wfile.write(chunk)
        except OSError:
            handler.close_connection = True

    return behave


def play(handler: Handler) -> None:
    """Answer as the services do."""
    url = urlsplit(handler.path)
    parts = [unquote(part) for part in url.path.strip("/").split("/")]
    day = handler.server.rates_day
    match parts:
        case ["v6", "latest", "GBP"]:
            key = handler.headers.get("Authorization")
            good = key in {None, f"Bearer {KEY}"}
            answer = latest_rates(day, has_key=key is not None) if good else rates_error("invalid-key")
            as_json(answer, 200 if good else 403)(handler)
        case ["v3.1", "alpha", code]:
            as_json([known for known in COUNTRIES if known["cca2"] == code])(handler)
        case ["v3.1", "name", name]:
            found = [known for known in COUNTRIES if name.lower() == known["name"]["common"].lower()]
            as_json(found or {"status": 404, "message": "Not Found"}, 200 if found else 404)(handler)
        case ["words"]:
            word = parse_qs(url.query)["ml"][0]
            as_json([{"word": f"{word}er", "score": 2, "tags": ["syn"]}, {"word": f"{word}est", "score": 1}])(handler)
        case _:
            status(404)(handler)


def _drip(handler: Handler, interval: float, length: int) -> None:
    try:
        for _ in range(length):
            handler.wfile.write(b"[")
            handler.wfile.flush()
            if handler.server.sleep(interval):
                break
    except OSError:
        handler.close_connection = True


class FakeServer(ThreadingHTTPServer):
    """The fake services on one port.

    Attributes:
        requests: Paths asked for, with queries.
        keys: Header `Authorization` of each request, None if it had none.
        moments: When, on the monotonic clock.
        behaviour: What it does unless `script` says otherwise.
        script: What it does with the next requests.
        rates_day: Date of the exchange rates.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.requests: list[str] = []
        self.keys: list[str | None] = []
        self.moments: list[float] = []
        self.behaviour: Behaviour = play
        self.script: list[Behaviour] = []
        self.rates_day = date(2026, 11, 20)

    @property
    def url(self) -> str:
        """Base URL of every service."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def sleep(self, seconds: float) -> bool:
        """Wait; return whether the server is stopping."""
        return self.stopping.wait(seconds)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        at: TracebackType | None = None,
    ) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()
