"""A fake object store that speaks as much of S3 as Delta needs, in memory; `object_store` has a real one."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

BUCKET = "retail"
REFUSED = {
    "no-bucket": (404, "NoSuchBucket", ""),
    "no-key": (403, "InvalidAccessKeyId", ""),
    "elsewhere": (400, "AuthorizationHeaderMalformed", "expecting eu-west-2"),
}
"""Buckets that cannot be used: status, code and message of the answer to each request."""

REPLACES = "replaces"
"""A bucket that takes no notice of conditions."""


class _Store(ThreadingHTTPServer):
    """Objects by key, and the parts of uploads that are not complete."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.lock = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Store

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _asked(self) -> tuple[str, dict[str, str], bytes]:
        """Return key, query and body of a request."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return unquote(parts.path).removeprefix(f"/{BUCKET}").removeprefix("/"), query, body

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        key, query, _ = self._asked()
        if "list-type" in query:
            self._answer(200, self._listed(query), Content_Type="application/xml")
            return
        content = self.server.objects.get(key)
        if content is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        about = {"ETag": _tag(content), "Last_Modified": "Fri, 27 Nov 2026 00:00:00 GMT"}
        wanted = self.headers.get("Range")
        if wanted is None:
            self._answer(200, content, **about)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start = int(first) if first else len(content) - int(last)
        end = min(int(last) + 1, len(content)) if first and last else len(content)
        span = f"bytes {start}-{end - 1}/{len(content)}"
        self._answer(206, content[start:end], Content_Range=span, **about)

    def do_PUT(self) -> None:
        name = self.path.split("/")[1]
        key, query, body = self._asked()
        if name in REFUSED:
            status, code, message = REFUSED[name]
            self._answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())
            return
        with self.server.lock:
            if "uploadId" in query:
                self.server.uploads[query["uploadId"]][int(query["partNumber"])] = body
            elif name != REPLACES and self.headers.get("If-None-Match") == "*" and key in self.server.objects:
                self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
                return
            else:
                self.server.objects[key] = body
        self._answer(200, ETag=_tag(body))

    def do_POST(self) -> None:
        key, query, body = self._asked()
        if "delete" in query:
            keys = [unescape(found) for found in re.findall(r"<Key>(.*?)</Key>", body.decode())]
            for found in keys:
                self.server.objects.pop(found, None)
            deleted = "".join(f"<Deleted><Key>{escape(found)}</Key></Deleted>" for found in keys)
            text = f"<DeleteResult>{deleted}</DeleteResult>"
        elif "uploads" in query:
            upload = uuid.uuid4().hex
            self.server.uploads[upload] = {}
            text = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
        else:
            parts = self.server.uploads.pop(query["uploadId"])
            self.server.objects[key] = b"".join(parts[number] for number in sorted(parts))
            tag = escape(_tag(self.server.objects[key]))
            text = f"<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
        self._answer(200, text.encode(), Content_Type="application/xml")

    def do_DELETE(self) -> None:
        self.server.objects.pop(self._asked()[0], None)
        self._answer(204)

    def _listed(self, query: dict[str, str]) -> bytes:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        found, folders = [], set()
        for key, content in sorted(self.server.objects.items()):
            if not key.startswith(prefix) or key <= query.get("start-after", ""):
                continue
            rest = key[len(prefix) :]
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
                continue
            found.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{len(content)}</Size><ETag>{escape(_tag(content))}</ETag>"
                "<LastModified>2026-11-27T00:00:00.000Z</LastModified></Contents>"
            )
        found += [f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)]
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(found)}</ListBucketResult>".encode()


def _tag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


@contextmanager
def bucket() -> Iterator[dict[str, str]]:
    """Yield the environment by which an empty bucket is found.

    It is a process of its own: delta-rs waits for answers without letting other Python code of its process run.
    """
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            yield {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": "eu-west-1",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
            }
        finally:
            process.terminate()


if __name__ == "__main__":
    served = _Store()
    print(served.server_port, flush=True)
    served.serve_forever()
