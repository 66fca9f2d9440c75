"""Downloads of weights: schemes, redirects, sizes, and digests that are trusted on first use."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from loopback import serving

from adapters.errors import WeightsError
from adapters.models.weights import DownloadError, download, require_first_use, trust_first_use
from adapters.models.weights import published as published_weights
from adapters.system import downloads_allowed, without_downloads

BODY = b"w" * 3000


class _Server(BaseHTTPRequestHandler):
    """/file is the body; /endless never ends; /to?URL redirects."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/to":
            self.send_response(302)
            self.send_header("Location", query)
            self.end_headers()
            return
        self.send_response(200)
        if path == "/declared":
            self.send_header("Content-Length", str(1 << 40))
        elif path == "/short":
            self.send_header("Content-Length", "5000")
        elif path != "/endless":
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        for _ in range(1000 if path == "/endless" else 1):
            try:
                self.wfile.write(BODY)
            except OSError:
                break
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with serving(_Server) as server:
        yield server.url


def test_a_file_is_downloaded_where_a_person_named_the_address(url: str, tmp_path: Path) -> None:
    download(f"{url}/file", tmp_path / "w", max_bytes=len(BODY), named=True)
    assert (tmp_path / "w").read_bytes() == BODY
    (tmp_path / "mirror").write_bytes(BODY)
    download(f"file://{tmp_path / 'mirror'}", tmp_path / "copy", max_bytes=len(BODY), named=True)
    assert (tmp_path / "copy").read_bytes() == BODY
    download(f"{url}/to?{url}/file", tmp_path / "redirected", max_bytes=len(BODY), named=True)
    assert (tmp_path / "redirected").read_bytes() == BODY


@pytest.mark.parametrize("address", ["{url}/file", "file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x", "nothing"])
def test_only_https_is_used_for_an_address_that_nobody_named(address: str, url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is not allowed; use https"):
        download(address.format(url=url), tmp_path / "w", max_bytes=10**6)


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/x", "data:,x"])
def test_no_redirect_leads_to_another_scheme(target: str, url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"redirects to|not allowed|answered 302"):
        download(f"{url}/to?{target}", tmp_path / "w", max_bytes=10**6, named=True)


@pytest.mark.parametrize(
    "path, message",
    [("endless", "larger than"), ("declared", "declares"), ("short", "cut short"), ("file", "declares")],
)
def test_what_is_too_large_or_cut_short_is_given_up(path: str, message: str, url: str, tmp_path: Path) -> None:
    limit = 10_000 if path != "file" else 100
    with pytest.raises(DownloadError, match=message):
        download(f"{url}/{path}", tmp_path / "w", max_bytes=limit, named=True)
    assert not (tmp_path / "w").exists() or (tmp_path / "w").stat().st_size <= 10_000


def test_a_digest_is_trusted_on_first_use_said_so_and_must_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    name = "https://example.org/model/3"
    require_first_use(name, "aa")
    with caplog.at_level(logging.WARNING, "cliplab.weights"):
        trust_first_use(name, "aa")
        trust_first_use(name, "aa")
    assert caplog.text.count("trusted on first use") == 1
    require_first_use(name, "aa")
    with pytest.raises(WeightsError, match=r"SHA-256 is bb, but it was.*first_use\.json"):
        require_first_use(name, "bb")
    assert json.loads((tmp_path / "cache" / "first_use.json").read_text()) == {name: "aa"}
    (tmp_path / "cache" / "first_use.json").write_text("[" * 10_000)
    require_first_use(name, "bb")  # as after the cache was deleted


def test_a_file_of_which_only_an_md5_is_published_must_stay_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    entry = published_weights.PUBLISHED["mobilenet_v3_small"]
    known = replace(entry, digest=hashlib.md5(BODY, usedforsecurity=False).hexdigest())
    monkeypatch.setitem(published_weights.PUBLISHED, "mobilenet_v3_small", known)
    path = tmp_path / "keras" / "models" / entry.file
    path.parent.mkdir(parents=True)
    path.write_bytes(BODY)
    assert published_weights.find_published_weights("mobilenet_v3_small") == path
    # A file of the same MD5 and another SHA-256 is what an attacker can make; here the kept digest stands for it.
    (tmp_path / "cache" / "first_use.json").write_text(json.dumps({entry.url: "0" * 64}))
    with pytest.raises(WeightsError, match="when it was first used"):
        published_weights.find_published_weights("mobilenet_v3_small")


def test_within_a_search_nothing_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.build_opener", None)
    with without_downloads(), pytest.raises(DownloadError, match="downloads are not allowed"):
        download("https://weights.example/x.pth", tmp_path / "x.pth", max_bytes=10)
    assert downloads_allowed()
