"""One HTTP exchange: within a time and a size, and without exposing the key."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future
from io import BytesIO
from threading import Thread
from typing import Any

from pydantic import SecretStr
from requests import PreparedRequest, RequestException, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as ConnectionFailed
from requests.exceptions import ContentDecodingError, Timeout
from urllib3 import HTTPResponse
from urllib3.exceptions import DecodeError, HTTPError, ReadTimeoutError

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""Largest answer that is read, unpacked. The largest expected one, a country, has 10 kB."""

_CHUNK = 65_536
_HEADERS_OF_THE_STREAM = {"content-encoding", "content-length", "transfer-encoding"}


class AnswerTooLarge(Exception):
    """The body is longer than `MAX_ANSWER_BYTES`."""


class BoundedAdapter(HTTPAdapter):
    """Makes one exchange within the seconds given as `timeout`, reads the body, and sends the key.

    The timeouts of requests bound each wait for the network, not the exchange: a name server, a list of addresses, or
    headers and bodies that drip byte by byte can hold a caller for minutes. The exchange therefore runs on a daemon
    thread, which is left behind when the time is over.

    The key is sent in the header of a copy of the request that does not leave this class: no exception, log or cache
    holds it.
    """

    def __init__(self, key: SecretStr) -> None:
        """Keep the key; with an empty one no header is sent."""
        self._key = key
        super().__init__()

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Response:
        """Return the answer with its whole body.

        Args:
            request: What to send.
            stream: Ignored; the body is always read.
            timeout: Seconds for the whole exchange.
            verify: As for requests.
            cert: As for requests.
            proxies: As for requests.

        Raises:
            requests.Timeout: If the exchange is not over in time.
            requests.ConnectionError: If there is no connection or it breaks.
            requests.exceptions.ContentDecodingError: If the body cannot be unpacked.
            AnswerTooLarge: If the body is too long.
        """
        seconds = float(timeout)
        deadline = time.monotonic() + seconds
        outcome: Future[Response] = Future()
        sent = request.copy()
        if key := self._key.get_secret_value():
            sent.headers["Authorization"] = f"Bearer {key}"

        def exchange() -> None:
            try:
                answer = super(BoundedAdapter, self).send(
                    sent, stream=True, timeout=seconds, verify=verify, cert=cert, proxies=proxies
                )
                answer.request = request
                outcome.set_result(_with_body(answer, deadline))
            except RequestException as error:
                error.request = request
                outcome.set_exception(error)
            except BaseException as error:
                outcome.set_exception(error)

        Thread(target=exchange, name="http-exchange", daemon=True).start()
        try:
            return outcome.result(timeout=seconds)
        except TimeoutError:
            raise Timeout(f"No complete answer within {seconds:.1f} s", request=request) from None


def _with_body(response: Response, deadline: float) -> Response:
    """Read the body of a response whose headers have been read, and put it in the place of the network stream."""
    raw: HTTPResponse = response.raw
    body = bytearray()
    try:
        while chunk := raw.read1(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise AnswerTooLarge(f"The answer is longer than {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise Timeout("The answer took too long")
    except ReadTimeoutError as error:
        raise Timeout(str(error)) from error
    except DecodeError as error:
        raise ContentDecodingError(str(error)) from error
    except HTTPError as error:
        raise ConnectionFailed(str(error)) from error
    finally:
        raw.close()
    headers = {name: value for name, value in raw.headers.items() if name.lower() not in _HEADERS_OF_THE_STREAM}
    response.raw = HTTPResponse(
        BytesIO(bytes(body)), headers=headers, status=raw.status, preload_content=False, request_url=response.url
    )
    return response
