"""An S3 on loopback over a folder, for the unmodified client: lists, headers, ranges, and uploads in one piece."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlparse
from xml.sax.saxutils import escape

import pytest
from loopback import serving

from cliplab.library import storage


@dataclass
class Bucket:
    """folder: the objects of s3://library/. failing: names that get an error for an answer, or "PUT" for every upload.
    sent: bytes of each."""

    folder: Path
    url: str = ""
    failing: set[str] = field(default_factory=set)
    sent: dict[str, int] = field(default_factory=dict)

    def announce(self, patch: pytest.MonkeyPatch) -> None:
        """Have fsspec find this server, here and in processes that start from now on, and try nothing again."""
        import fsspec.config

        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("FSSPEC_S3_ENDPOINT_URL", self.url)
        # fsspec has read the environment already, when it was imported.
        settings = {"endpoint_url": self.url, "config_kwargs": {"retries": {"max_attempts": 1}}}
        patch.setitem(fsspec.config.conf, "s3", settings)
        patch.setattr("s3fs.S3FileSystem.retries", 1)  # its own, with pauses that grow, on top of those
        storage._filesystem.cache_clear()

    def announce_to_boto3(self, patch: pytest.MonkeyPatch) -> None:
        """As ``announce``, for MLflow, which reads and writes with boto3."""
        self.announce(patch)
        patch.setenv("MLFLOW_S3_ENDPOINT_URL", self.url)
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        # Checksums in the trailer of a chunked body are what this server does not read.
        patch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")


@contextmanager
def s3_server(folder: Path) -> Iterator[Bucket]:
    with serving(_Handler) as server:
        server.bucket = Bucket(folder, server.url)
        yield server.bucket


class _Handler(BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlparse(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        if bucket != "library":
            return self._answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        return self._list(query) if not key else self._object(key, with_body=True)

    def do_PUT(self) -> None:
        key = unquote(urlparse(self.path).path).lstrip("/").partition("/")[2]
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if key in self.server.bucket.failing or "PUT" in self.server.bucket.failing:
            return self._answer(503, b"<Error><Code>ServiceUnavailable</Code><Message>try later</Message></Error>")
        path = self.server.bucket.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return self._answer(200, b"", {"ETag": _describe(path)["ETag"]})

    def do_HEAD(self) -> None:
        self._object(unquote(urlparse(self.path).path).lstrip("/").partition("/")[2], with_body=False)

    def _object(self, key: str, with_body: bool) -> None:
        bucket = self.server.bucket
        path = bucket.folder / key
        if key in bucket.failing:
            return self._answer(503, b"<Error><Code>ServiceUnavailable</Code><Message>try later</Message></Error>")
        if not path.is_file():
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>" if with_body else b"")
        data, headers = path.read_bytes(), _describe(path)
        if not with_body:
            return self._answer(200, b"", {**headers, "Content-Length": str(len(data))})
        status, part = 200, data
        if wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            part = data[int(first) : int(last or len(data) - 1) + 1]
            headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
            status = 206
        bucket.sent[key] = bucket.sent.get(key, 0) + len(part)
        return self._answer(status, part, headers)

    def _list(self, query: dict[str, str]) -> None:
        prefix, folder = query.get("prefix", ""), self.server.bucket.folder
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        names = [name for name in names if name.startswith(prefix)]
        rest = {name: name.removeprefix(prefix).partition("/") for name in names}
        below = sorted({prefix + first + "/" for first, slash, _ in rest.values() if slash and query.get("delimiter")})
        objects = [name for name in names if not (rest[name][1] and query.get("delimiter"))]
        encode = quote if query.get("encoding-type") == "url" else escape
        rows = "".join(_row(folder / name, encode(name)) for name in objects)
        rows += "".join(f"<CommonPrefixes><Prefix>{encode(name)}</Prefix></CommonPrefixes>" for name in below)
        kind = "<EncodingType>url</EncodingType>" if encode is quote else ""
        text = f"<ListBucketResult>{kind}<Name>library</Name><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
        self._answer(200, text.encode(), {"Content-Type": "application/xml"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _describe(path: Path) -> dict[str, str]:
    tag = f'"{hashlib.md5(path.read_bytes()).hexdigest()}"'
    return {"ETag": tag, "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True), "Content-Type": "video/mp4"}


def _row(path: Path, name: str) -> str:
    headers = _describe(path)
    # Listings are finer than headers, as those of some servers are.
    time = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    return (
        f"<Contents><Key>{name}</Key><LastModified>{time}Z</LastModified><ETag>{escape(headers['ETag'])}</ETag>"
        f"<Size>{path.stat().st_size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )
