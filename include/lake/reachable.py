"""Whether what a run needs answers: the Spark that its stages run on, and the object store of the lake.

Asked before a run claims its files: they stay in the landing folder then, and load once the cause is mended.
"""

from __future__ import annotations

import re
import socket
import uuid
from urllib.parse import urlsplit

from include.lake.store import ANSWER_SECONDS, lake_store
from include.settings import Settings

_USUAL_PORTS = {"spark": 7077, "sc": 15002}


class SparkUnreachable(Exception):
    """No Spark master or Spark Connect server answers; the message says where, and what to do."""


class LakeUnusable(Exception):
    """The object store of the lake cannot be used; the message names the setting, and what to do."""


def require_spark(settings: Settings, master: str) -> None:
    """Return if a Spark that is named by host and port listens there, or none is (`local[*]`, `yarn`, `embedded`).

    Args:
        settings: Name the Spark Connect server, if there is one.
        master: Where the Spark connection leads: `spark://host:port[,host:port ...]`, `sc://host:port` or another.

    Raises:
        SparkUnreachable: If it does not.
    """
    place = settings.spark_remote.get_secret_value().partition("/;")[0] or master
    scheme, _, hosts = place.partition("://")
    if scheme not in _USUAL_PORTS:
        return
    problems = []
    for host in hosts.split(","):
        parts = urlsplit(f"//{host}")
        try:
            with socket.create_connection((parts.hostname or "", parts.port or _USUAL_PORTS[scheme]), ANSWER_SECONDS):
                return
        except OSError as error:
            problems.append(error.strerror or str(error))
    raise SparkUnreachable(
        f"No Spark answers at {place} ({'; '.join(problems)}): start it, or correct the connection spark_default "
        "(AIRFLOW_CONN_SPARK_DEFAULT) or RETAIL_SPARK_REMOTE, whichever names it. Files wait in the landing folder."
    )


def require_lake(settings: Settings) -> None:
    """Return if the object store of the lake takes objects and leaves those alone that it must not replace.

    Raises:
        LakeUnusable: If it does not. A lake in a folder is always usable.
    """
    if not settings.lake_on_s3:
        return
    import obstore
    from obstore.exceptions import AlreadyExistsError, BaseError

    name = f"_probe/{uuid.uuid4().hex}"
    try:
        store = lake_store(settings, retries=1)
        obstore.put(store, name, b"first")
        try:
            obstore.put(store, name, b"second", mode="create")
        except AlreadyExistsError:
            obstore.delete(store, name)
            return
    except (BaseError, OSError) as error:
        raise LakeUnusable(_problem(settings, str(error))) from error
    raise LakeUnusable(
        f"The object store {_place(settings)} replaces objects that it was asked to leave alone (`If-None-Match: *`), "
        "so commits of two writers could be lost: name a server in AWS_ENDPOINT_URL that can do conditional writes."
    )


def _place(settings: Settings) -> str:
    return f"at {settings.aws_endpoint_url}" if settings.aws_endpoint_url else "of Amazon"


def _problem(settings: Settings, said: str) -> str:
    """Return in one sentence what stands in the way, by the code that the server has given with its refusal."""
    code = (re.findall(r"<Code>(\w+)</Code>", said) or [""])[0]
    message = (re.findall(r"<Message>(.*?)</Message>", said, re.DOTALL) or [said.partition("\n")[0]])[0]
    store, bucket = f"The object store {_place(settings)}", settings.lake.split("/")[2]
    match code:
        case "NoSuchBucket":
            return f"{store} has no bucket {bucket!r}: make it, or correct RETAIL_LAKE_URI."
        case "AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "XAdminUserNotFound":
            return (
                f"{store} does not take the key for bucket {bucket!r} ({code}): correct AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or allow it to read, write and delete there."
            )
        case "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException":
            return f"{store} has bucket {bucket!r} in another region ({message}): correct AWS_REGION."
        case "":
            return f"{store} does not answer ({message}): see that it runs, or correct AWS_ENDPOINT_URL."
        case _:
            return f"{store} cannot be used for the lake ({code}: {message})."
