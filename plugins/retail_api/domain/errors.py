"""Why a request cannot be answered as asked. `problems.py` gives each kind its HTTP status."""

from __future__ import annotations

from typing import Any, Literal

from include.failover import Side

RETRY_SECONDS = 5
"""When to ask again what does not answer: the warehouse's breaker tries its server again within 15 s."""

Reason = Literal["missing", "malformed", "wrong", "throttled", "cross_site", "forbidden"]


class ApiError(Exception):
    """A request that cannot be answered as asked.

    Attributes:
        detail: What is wrong and what to do about it; shown to the caller, so it repeats no secret.
        side: Side of the warehouse that was asked, if one was.
        retry_seconds: After how long it makes sense to ask again; 0 if waiting does not help.
        members: Further members of the answer's body.
    """

    def __init__(self, detail: str, *, side: Side | None = None, retry_seconds: int = 0, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.side = side
        self.retry_seconds = retry_seconds
        self.members = members


class Invalid(ApiError):
    """A parameter or body that cannot be used."""


class NotFound(ApiError):
    """There is no such thing."""


class Conflict(ApiError):
    """What is there is in the way, or something else refuses."""


class TooLarge(ApiError):
    """A body that is larger than it may be."""


class UnsupportedFile(ApiError):
    """A file that cannot be loaded."""


class TooBusy(ApiError):
    """As much of this as may be under way is under way."""


class Unavailable(ApiError):
    """Something that is needed does not answer now and may soon."""

    def __init__(self, detail: str, retry_seconds: int = RETRY_SECONDS) -> None:
        super().__init__(detail, retry_seconds=retry_seconds)


class StorageFull(ApiError):
    """The disk is nearly full."""


class AirflowFailed(ApiError):
    """Airflow did not do as asked."""


class AirflowRefused(ApiError):
    """Airflow refuses the request.

    Attributes:
        status: Status of Airflow's answer.
    """

    def __init__(self, detail: str, status: int) -> None:
        super().__init__(detail)
        self.status = status


class Refused(ApiError):
    """A caller who is not let in.

    Attributes:
        reason: Why, as metrics and the audit trail name it.
        username: Name that was given, if one was.
    """

    def __init__(self, reason: Reason, detail: str, *, username: str = "", retry_seconds: int = 0) -> None:
        super().__init__(detail, retry_seconds=retry_seconds)
        self.reason = reason
        self.username = username
