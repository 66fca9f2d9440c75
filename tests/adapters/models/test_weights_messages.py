"""What a weights file that is none is called, and why a download failed, each by its own words."""

from __future__ import annotations

import http.client
import io
import tarfile
import urllib.error
from email.message import Message
from pathlib import Path

import numpy as np
import pytest

from adapters.errors import WeightsError
from adapters.models.weights import download, read_safetensors, read_weights_bytes, weights_kind
from adapters.models.weights.downloads import DownloadError, _Redirects, reason_of
from adapters.models.weights.file_kinds import require_regular_file


@pytest.mark.parametrize(
    "error, words",
    [
        (urllib.error.HTTPError("u", 404, "Not Found", Message(), None), "the server answered 404 Not Found"),
        (urllib.error.URLError("no route"), "the server could not be reached (no route)"),
        (http.client.IncompleteRead(b"abc", 9), "was cut short (it ended after 3 bytes)"),
        (ValueError("first line\nsecond line"), "first line"),
        (ValueError(""), "ValueError"),
        (ValueError("x" * 400), "x" * 300),
    ],
)
def test_why_a_download_failed(error: Exception, words: str) -> None:
    found = reason_of(error)
    assert found == words or found.endswith(words)
    assert "\n" not in found


@pytest.mark.parametrize(
    "begun, leads_to, allowed",
    [
        ("https", "https://b/x", True),
        ("https", "http://b/x", False),
        ("http", "http://b/x", True),
        ("http", "https://b/x", True),
        ("http", "ftp://b/x", False),
        ("https", "file:///x", False),
    ],
)
def test_redirects_lead_to_https_or_to_what_the_download_began_with(begun: str, leads_to: str, allowed: bool) -> None:
    request = urllib.request.Request(f"{begun}://a/x")
    follow = _Redirects(begun).redirect_request
    if allowed:
        found = follow(request, io.BytesIO(), 302, "Found", Message(), leads_to)
        assert found.full_url == leads_to
    else:
        with pytest.raises(urllib.error.URLError, match="it redirects to"):
            follow(request, io.BytesIO(), 302, "Found", Message(), leads_to)


def test_a_file_of_exactly_the_most_bytes_is_downloaded(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"x" * 100)
    address = f"file://{tmp_path / 'w'}"
    download(address, tmp_path / "to", max_bytes=100, named=True)
    assert (tmp_path / "to").stat().st_size == 100
    with pytest.raises(DownloadError, match="declares 100 bytes; at most 99"):
        download(address, tmp_path / "to", max_bytes=99, named=True)


def tar_bytes() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("w")
        info.size = 2000
        archive.addfile(info, io.BytesIO(b"x" * 2000))
    return stream.getvalue()


@pytest.mark.parametrize(
    "data, words",
    [
        (b"<!DOCTYPE html><p>", "is a web page"),
        (b"\xef\xbb\xbf \n<HTML>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"/annex/objects/x", "git-annex pointer"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"BZh91AY", "compressed with bzip2"),
        (b"\xfd7zXZ\0", "compressed with xz"),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
        (b"7z\xbc\xaf\x27\x1c", "is a 7z archive"),
        (b"Rar!\x1a\x07", "is a RAR archive"),
        (b"\x93NUMPY\x01", "is a NumPy array"),
        (b"<?xml version='1.0'?>", "is XML text"),
        (b"Access denied", "is text that begins with 'Access denied'"),
        (tar_bytes(), "is a tar archive"),
    ],
)
def test_what_is_plainly_something_else_is_called_so(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(WeightsError, match=rf"w\.pth .*{words}"):
        read_weights_bytes(tmp_path / "w.pth")


@pytest.mark.parametrize(
    "data, kind",
    [
        (b"PK\x03\x04rest", "zip"),
        (b"\x89HDF\r\n\x1a\nrest", "hdf5"),
        (b"\x1c\0\0\0TFL3", "tflite"),
        (b"\x10\0\0\0\0\0\0\0{", "safetensors"),
        (b"\x80\x02}", "torch"),
        (b"\x10\0\0\0\0\0\0\x01{", None),
        (b"\x81", None),
        (b"?", None),
    ],
)
def test_which_format_a_file_begins_as(data: bytes, kind: str | None) -> None:
    assert weights_kind(data) == weights_kind(data + b"what follows") == kind


def test_files_that_cannot_be_weights_are_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"x" * 10)
    require_regular_file(tmp_path / "w", 10)
    with pytest.raises(WeightsError, match="has 10 bytes; at most 9 are allowed"):
        require_regular_file(tmp_path / "w", 9)
    (tmp_path / "empty").touch()
    for name, words in (("empty", "is empty"), (".", "it is a folder"), ("none", "No such file")):
        with pytest.raises(WeightsError, match=words):
            require_regular_file(tmp_path / name)
    with pytest.raises(WeightsError, match="could not be read"):
        require_regular_file(Path("a\0b"))


def test_bytes_of_safetensors_are_called_by_the_name_that_is_given() -> None:
    with pytest.raises(WeightsError, match="weights file the golden clip is not a valid"):
        read_safetensors(b"xx", "the golden clip")
    with pytest.raises(WeightsError, match="weights file the given bytes is not a valid"):
        read_safetensors(b"xx")
    from safetensors.numpy import save

    assert read_safetensors(save({"a": np.arange(3)}))["a"].tolist() == [0, 1, 2]
