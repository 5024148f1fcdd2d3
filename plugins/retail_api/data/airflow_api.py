"""Airflow's own REST API, asked as the calling user.

The API server answers it in this very process, so a request is handed to its app without a network. It carries a token
of the caller's that is valid for a minute: Airflow checks the caller's permissions on the DAG and writes the caller
into its audit log, as if they had asked it themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from retail_api.access.security import Caller
from retail_api.domain.errors import AirflowFailed, AirflowRefused, Unavailable

ANSWER_SECONDS = 15.0

PASSED_ON = frozenset({400, 403, 404, 409, 422})
"""Statuses that say something about the request; with any other, something is wrong in Airflow."""

TokenOf = Callable[[Caller], str]


class AirflowApi:
    """Asks Airflow's API for one caller."""

    def __init__(self, app: Any, token_of: TokenOf, caller: Caller) -> None:
        """Take what is needed to ask.

        Args:
            app: ASGI app of Airflow's API server.
            token_of: Returns a token that Airflow takes for the caller's.
            caller: Whom to ask for.
        """
        self._transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self._token_of = token_of
        self._caller = caller

    async def get(self, *path: str, **parameters: Any) -> dict[str, Any]:
        """Return what is at a path below `/api/v2`."""
        return await self._ask("GET", path, parameters=parameters)

    async def post(self, *path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return what Airflow answers to a body sent to a path below `/api/v2`."""
        return await self._ask("POST", path, body=body)

    async def _ask(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        parameters: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return what Airflow answers.

        Raises:
            AirflowRefused: With Airflow's status and words.
            AirflowFailed: If something went wrong in Airflow.
            Unavailable: If it does not answer in time.
        """
        url = "/api/v2/" + "/".join(quote(part, safe="") for part in path)
        token = await asyncio.to_thread(self._token_of, self._caller)
        async with httpx.AsyncClient(transport=self._transport, base_url="http://airflow") as client:
            asked = client.request(
                method, url, params=parameters, json=body, headers={"Authorization": f"Bearer {token}"}
            )
            try:
                response = await asyncio.wait_for(asked, ANSWER_SECONDS)
            except TimeoutError:
                raise Unavailable("Airflow has not answered in time.") from None
        if response.is_success:
            found: dict[str, Any] = response.json()
            return found
        if response.status_code in PASSED_ON:
            raise AirflowRefused(f"Airflow refuses: {_reason(response)}", response.status_code)
        raise AirflowFailed(f"Airflow has answered with status {response.status_code}.")


def _reason(response: httpx.Response) -> str:
    try:
        detail = response.json().get("detail")
    except (ValueError, AttributeError):
        detail = None
    if isinstance(detail, list):  # of a request that does not fit
        return "; ".join(str(entry.get("msg", entry)) if isinstance(entry, dict) else str(entry) for entry in detail)
    return str(detail or response.reason_phrase)
