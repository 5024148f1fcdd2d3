"""Changes that another site makes a browser send with the password that the browser knows."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from include.settings import Settings
from retail_api.access.airflow_users import AirflowUsers
from retail_api.access.credential_cache import Account, Verified
from retail_api.domain.errors import Refused
from retail_api.problems import status_of

OTHER, FOREIGN = {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}


def request(method: str, headers: dict[str, str]) -> HTTPConnection:
    given = {"Host": "retail:8080", "Authorization": "Basic " + base64.b64encode(b"ann:secret").decode(), **headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in given.items()]
    return HTTPConnection({"type": "http", "method": method, "path": "/", "headers": raw, "client": ("::1", 1)})


@pytest.fixture
def users(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AirflowUsers:
    async def verified(*_: Any) -> Verified:
        account = Account(user=None, username="ann", password_hash="", can_read=True, can_edit=True)
        return Verified(account, 0.0)

    monkeypatch.setattr(AirflowUsers, "_verify", verified)
    return AirflowUsers(settings)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {}),
        ("POST", {"Sec-Fetch-Site": "same-origin"}),
        ("DELETE", {"Origin": "http://retail:8080"}),
        ("GET", OTHER),
    ],
)
def test_a_password_is_enough(users: AirflowUsers, method: str, headers: dict[str, str]) -> None:
    assert asyncio.run(users(request(method, headers))).username == "ann"


@pytest.mark.parametrize("headers", [OTHER, FOREIGN, {"Origin": "null"}, {"Origin": "http://retail:8080"} | OTHER])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_change_from_another_site_is_refused(users: AirflowUsers, method: str, headers: dict[str, str]) -> None:
    with pytest.raises(Refused) as caught:
        asyncio.run(users(request(method, headers)))
    assert (caught.value.reason, status_of(caught.value)) == ("cross_site", 403)
