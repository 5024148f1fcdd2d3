"""The Typesense cluster that the settings name: connection, version and what that version can do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx
import typesense
from typesense.exceptions import (
    HTTPStatus0Error,
    ObjectAlreadyExists,
    ObjectNotFound,
    RequestForbidden,
    RequestUnauthorized,
    ServerError,
    ServiceUnavailable,
    TypesenseClientError,
)

from include.search.entities import NotIndexed, SearchMisconfigured, SearchUnavailable
from include.settings import Settings

NATIVE_HYBRID = (0, 25, 2)
"""First version that fuses words and vectors itself with a weight that can be set (its release notes: `alpha`)."""

SERVER_EMBEDDING = (26,)
"""First version whose own models are relied on; 26.0 came after 0.25.2."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Features:
    """What a server of some version can do."""

    version: str
    native_hybrid: bool
    server_embedding: bool

    @classmethod
    def of(cls, version: str) -> Self:
        """Return what the version that a server names can do; what is not a number (nightly) is taken for new."""
        numbers = tuple(int(part) for part in re.findall(r"[0-9]+", version)[:3]) or (999,)
        return cls(version, native_hybrid=numbers >= NATIVE_HYBRID, server_embedding=numbers >= SERVER_EMBEDDING)


class SearchServer:
    """A connection to the cluster, for any number of threads.

    Every method raises `SearchUnavailable` if the cluster does not answer in time, `SearchMisconfigured` if it refuses
    the key, and `NotIndexed` if the alias or collection asked for is not there.
    """

    def __init__(self, settings: Settings, *, indexing: bool = False) -> None:
        """Prepare the connection; nothing is sent yet.

        Args:
            settings: Nodes, key and timeouts.
            indexing: Whether to use the key that may do everything, and let calls take as long as indexing takes.

        Raises:
            SearchMisconfigured: If no node is set.
        """
        nodes = settings.search_nodes
        if not nodes:
            raise SearchMisconfigured("There is no search: set TYPESENSE_NODES and TYPESENSE_API_KEY.")
        answer = (
            settings.typesense_index_timeout_seconds if indexing else settings.typesense_timeout_seconds / len(nodes)
        )
        connect = settings.typesense_connect_timeout_seconds / len(nodes)
        search_key = "" if indexing else settings.typesense_search_key.get_secret_value()
        # A proxy of the environment is none for this machine's own ports.
        remote = not all(host in LOOPBACK for host, _ in nodes)
        self._http = httpx.Client(
            timeout=httpx.Timeout(answer, connect=connect, pool=connect),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=64),
            trust_env=remote,
        )
        self._client = typesense.Client(
            {
                "nodes": [
                    {"host": host, "port": port, "protocol": settings.typesense_protocol} for host, port in nodes
                ],
                "api_key": search_key or settings.typesense_api_key.get_secret_value(),
                "num_retries": len(nodes) - 1,
                "retry_interval_seconds": 0.0,
                "healthcheck_interval_seconds": 15,
            },
            http_client=self._http,
        )
        self._features: Features | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def features(self) -> Features:
        """Return what the server can do; asked once a connection object."""
        if self._features is None:
            with _translated():
                self._features = Features.of(str(self._client.debug.retrieve()["version"]))
        return self._features

    def add_search_key(self, key: str, alias: str) -> None:
        """Let a key search the collections behind an alias and read the server's version; nothing if it is there."""
        with _translated(), suppress(ObjectAlreadyExists):
            self._client.keys.create(
                {
                    "description": f"Searches of {alias}",
                    "actions": ["documents:search", "debug:list"],
                    "collections": [alias, f"{alias}_[0-9a-f]{{8}}_[0-9]{{20}}"],
                    "value": key,
                }
            )

    def current(self, alias: str) -> str | None:
        """Return the collection behind an alias, None if there is no such alias."""
        try:
            with _translated():
                return str(self._client.aliases[alias].retrieve()["collection_name"])
        except NotIndexed:
            return None

    def switch(self, alias: str, collection: str) -> None:
        """Let `alias` stand for `collection` from now on."""
        with _translated():
            self._client.aliases.upsert(alias, {"collection_name": collection})

    def collections(self) -> dict[str, int]:
        """Return the collections there are and the documents in each."""
        with _translated():
            return {str(found["name"]): int(found["num_documents"]) for found in self._client.collections.retrieve()}

    def create(self, schema: Mapping[str, Any]) -> None:
        """Make a collection."""
        with _translated():
            self._client.collections.create(dict(schema))  # type: ignore[arg-type]

    def drop(self, collection: str) -> None:
        """Remove a collection and all its documents."""
        with _translated():
            self._client.collections[collection].delete()

    def upsert(self, collection: str, lines: str) -> str:
        """Insert or replace documents (JSON lines); return one JSON line for each, in order."""
        with _translated():
            return str(self._client.collections[collection].documents.import_(lines, {"action": "upsert"}))

    def export(self, collection: str, fields: Sequence[str], filter_by: str = "") -> str:
        """Return some fields of every document, or of those that a filter lets through, as JSON lines."""
        with _translated():
            return str(
                self._client.collections[collection].documents.export(
                    {"include_fields": ",".join(fields), **({"filter_by": filter_by} if filter_by else {})}
                )
            )

    def greatest(self, collection: str, field: str) -> int:
        """Return the greatest value of a numeric field; 0 if there is no document."""
        order = {"sort_by": f"{field}:desc", "per_page": 1, "include_fields": field}
        [found] = self.search([{"collection": collection, "q": "*", **order}])
        return int(found["hits"][0]["document"][field]) if found["hits"] else 0

    def delete(self, collection: str, ids: Sequence[str]) -> int:
        """Remove documents by id (hexadecimal digits only); return how many there were."""
        with _translated():
            done = self._client.collections[collection].documents.delete({"filter_by": f"id:[{','.join(ids)}]"})
        return int(done["num_deleted"])

    def document(self, collection: str, document_id: str) -> dict[str, Any] | None:
        """Return a document, None if there is none with this id."""
        try:
            with _translated():
                return dict(self._client.collections[collection].documents[document_id].retrieve())
        except NotIndexed:
            return None

    def search(self, searches: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the answers to several searches made in one call.

        Raises:
            SearchUnavailable: If one of them failed; the message is the server's.
        """
        body: Any = {"searches": [dict(one) for one in searches]}
        with _translated():
            answers = self._client.multi_search.perform(body, {})
        results: list[dict[str, Any]] = [dict(one) for one in answers["results"]]
        for result in results:
            if "error" in result:
                code = int(result.get("code", 0))
                kind = NotIndexed if code == 404 else SearchUnavailable
                raise kind(f"Typesense refused a search ({code}): {result['error']}")
        return results


def register_search_key(settings: Settings) -> None:
    """Let TYPESENSE_SEARCH_KEY, if there is one, search the products.

    Raises:
        SearchUnavailable: If the cluster does not answer.
    """
    key = settings.typesense_search_key.get_secret_value()
    if key:
        with SearchServer(settings, indexing=True) as server:
            server.add_search_key(key, settings.search_alias)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise errors of the client as ours; the key is in none of them."""
    try:
        yield
    except ObjectNotFound as error:
        raise NotIndexed("The products have not been indexed yet, or not under this name.") from error
    except (RequestUnauthorized, RequestForbidden) as error:
        raise SearchMisconfigured(
            "Typesense refuses the key: check TYPESENSE_API_KEY and TYPESENSE_SEARCH_KEY."
        ) from error
    except (ServiceUnavailable, ServerError, HTTPStatus0Error) as error:
        raise SearchUnavailable(f"Typesense cannot answer now: {_said(error)}") from error
    except TypesenseClientError as error:
        raise SearchUnavailable(f"Typesense refused the call: {_said(error)}") from error
    except httpx.HTTPError as error:
        raise SearchUnavailable(f"Typesense does not answer ({type(error).__name__}).") from error


def _said(error: TypesenseClientError) -> str:
    return str(error.args[-1])[:500] if error.args else type(error).__name__
