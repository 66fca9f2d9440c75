"""Archives of weights are unpacked within bounds, and nowhere else; hub models lie in the user's own cache."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import WeightsError
from movinet_adapter.weights import archives
from movinet_adapter.weights.archives import unpacked
from movinet_adapter.weights.download import hub_folder


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def member(name: str, data: bytes = b"", **facts: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, data


def test_files_and_folders_are_unpacked_from_both_kinds(tmp_path: Path) -> None:
    data = tar_of(member("a", type=tarfile.DIRTYPE, mode=0o755), member("a/b.index", b"x" * 5000), member("c", b""))
    for name, content in (("w.tar", data), ("w.tar.gz", gzip.compress(data)), ("named.tar", gzip.compress(data))):
        (tmp_path / name).write_bytes(content)
        with unpacked(tmp_path / name) as folder:
            assert (folder / "a" / "b.index").read_bytes() == b"x" * 5000
            assert (folder / "c").is_file()


@pytest.mark.parametrize(
    "bad",
    [
        member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("hard", type=tarfile.LNKTYPE, linkname="w"),
        member("pipe", type=tarfile.FIFOTYPE),
        member("device", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        member("/etc/escaped", b"x"),
        member("a/../../escaped", b"x"),
        member("nul\0/../x", b"x"),
    ],
    ids=["link", "hard", "pipe", "device", "absolute", "parent", "nul"],
)
def test_what_weights_do_not_need_is_refused(bad: tuple[tarfile.TarInfo, bytes], tmp_path: Path) -> None:
    (tmp_path / "w.tar").write_bytes(tar_of(member("w", b"good"), bad))
    if bad[0].name.startswith("nul"):  # a name ends at its first NUL
        with unpacked(tmp_path / "w.tar") as folder:
            assert {path.name for path in folder.iterdir()} == {"w", "nul"}
        return
    with pytest.raises(WeightsError, match="not a regular file or folder"), unpacked(tmp_path / "w.tar"):
        pass


def test_what_grows_beyond_its_size_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_FREE_BYTES", 1 << 20)
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(tar_of(member("zeros", bytes(8 << 20)))))
    with pytest.raises(WeightsError, match="unpacks to more than"), unpacked(tmp_path / "bomb.tar.gz"):
        pass
    # A sparse file of a terabyte takes no bytes in the archive.
    header = bytearray(tar_of(member("sparse", b""))[:512])
    header[156:157] = b"S"
    header[386:410] = b"00000000000\x0000000000000\x00"[:24]
    header[483:495] = b"77777777777\x00"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "sparse.tar").write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(WeightsError), unpacked(tmp_path / "sparse.tar"):
        pass


def test_a_header_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    header = bytearray(tar_of(member("long", b""))[:512])
    header[156:157] = b"L"  # the name of the next member
    header[124:136] = b"\x80" + struct.pack(">11s", (4 << 30).to_bytes(11, "big"))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "w.tar").write_bytes(bytes(header) + bytes(2048))
    with pytest.raises(WeightsError, match="not a complete"), unpacked(tmp_path / "w.tar"):
        pass


def test_many_members_and_damage_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
    (tmp_path / "many.tar").write_bytes(tar_of(*(member(f"f{number}") for number in range(30))))
    with pytest.raises(WeightsError, match="more than 20 files"), unpacked(tmp_path / "many.tar"):
        pass
    whole = gzip.compress(tar_of(member("w", b"x" * 5000)))
    for data in (whole[:-9], whole[:30], b"\x1f\x8b" + b"\xff" * 50, b"x" * 600):
        (tmp_path / "damaged.tar.gz").write_bytes(data)
        with pytest.raises(WeightsError, match="not a complete"), unpacked(tmp_path / "damaged.tar.gz"):
            pass
    (tmp_path / "empty.tar").write_bytes(b"")
    with pytest.raises(WeightsError, match="is empty"), unpacked(tmp_path / "empty.tar"):
        pass


def test_hub_models_lie_in_the_users_own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TFHUB_CACHE_DIR", raising=False)
    assert hub_folder("https://tfhub.dev/x").is_relative_to(tmp_path / "cache")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "named"))
    assert hub_folder("https://tfhub.dev/x").parent == tmp_path / "named"
