"""Whether what a run needs answers: the Spark that its stages run on, and the object store of the lake.

Asked before a run claims its files: they stay in the landing folder then, and load once the cause is mended.
"""

from __future__ import annotations

import socket
import uuid
from urllib.parse import urlsplit

from include.settings import Settings
from include.store import ANSWER_SECONDS, open_store, place, problem

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
    named = settings.spark_remote.get_secret_value().partition("/;")[0] or master
    scheme, _, hosts = named.partition("://")
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
        f"No Spark answers at {named} ({'; '.join(problems)}): start it, or correct the connection spark_default "
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
        store = open_store(settings, settings.lake, retries=1)
        obstore.put(store, name, b"first")
        try:
            obstore.put(store, name, b"second", mode="create")
        except AlreadyExistsError:
            obstore.delete(store, name)
            return
    except (BaseError, OSError) as error:
        raise LakeUnusable(problem(settings, settings.lake, "RETAIL_LAKE_URI", str(error))) from error
    raise LakeUnusable(
        f"The object store {place(settings)} replaces objects that it was asked to leave alone (`If-None-Match: *`), "
        "so commits of two writers could be lost: name a server in AWS_ENDPOINT_URL that can do conditional writes."
    )
