"""The size of a picture is the one that its decoder sees, and one that is too large is never decoded."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from environment import environment

from adapters.data import Example, read_prepared_clip
from adapters.data.examples import PreparedFrames
from adapters.errors import MediaError
from adapters.media.picture_size import jpeg_size, size_of_picture
from adapters.media.preprocess import MAX_PICTURE_PIXELS, decode_picture
from adapters.records import InputSpec

KINDS = (".jpg", ".png", ".webp", ".bmp", ".tiff", ".gif")


def picture(kind: str, width: int, height: int, *options: int) -> bytes:
    frame = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return bytes(cv2.imencode(kind, frame, list(options))[1].tobytes())


def jpeg() -> bytes:
    return picture(".jpg", 64, 48)


def with_frame_size(data: bytes, width: int, height: int) -> bytes:
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width, height", [(1, 1), (31, 57), (640, 2)])
def test_it_is_that_of_the_decoder(kind: str, width: int, height: int) -> None:
    try:
        data = picture(kind, width, height)
    except cv2.error:
        pytest.skip(f"this OpenCV writes no {kind}")
    assert size_of_picture(data) == (width, height)
    decoded = decode_picture(data)
    assert decoded is not None
    assert decoded.shape == (height, width, 3)
    for cut in (2, 8, 20):
        size_of_picture(data[:cut])


def test_lossless_webp_and_progressive_jpeg() -> None:
    assert size_of_picture(picture(".webp", 300, 20, cv2.IMWRITE_WEBP_QUALITY, 101)) == (300, 20)
    assert size_of_picture(picture(".jpg", 300, 20, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)) == (300, 20)


def fooled(head: bytes) -> bytes:
    """A small frame header in what readers pass over, and the decoder's own, of 65500x65500."""
    own = with_frame_size(jpeg(), 65500, 65500)
    return own[:2] + head + own[2:]


HIDDEN = b"\xff\xc0\x00\x11\x08\x00\x10\x00\x10\x03" + bytes(9)
DISGUISES = {
    "TEM": fooled(b"\xff\x01"),
    "TEM with a length": fooled(b"\xff\x01\x00\x04" + HIDDEN),
    "RST": fooled(b"\xff\xd0"),
    "RST with a length": fooled(b"\xff\xd3\x00\x04" + HIDDEN),
    "bytes between": fooled(b"\x00\x01\x02"),
    "a second start": fooled(b"\xff\xd8"),
    "reserved": fooled(b"\xff\x02\x00\x04\x00\x00"),
    "no length": fooled(b"\xff\xe0\x00\x00"),
    "length 1": fooled(b"\xff\xe0\x00\x01"),
    "plain": fooled(b""),
    "in a comment": fooled(b"\xff\xfe" + struct.pack(">H", 2 + len(HIDDEN)) + HIDDEN),
    "fill bytes": fooled(b"\xff\xff\xff"),
}


@pytest.mark.parametrize("name", DISGUISES)
def test_no_disguise_makes_a_large_jpeg_small(name: str) -> None:
    data = DISGUISES[name]
    assert jpeg_size(data) in (None, (65500, 65500))
    if jpeg_size(data) is None:
        assert decode_picture(data) is None
    else:
        with pytest.raises(MediaError, match="65500x65500"):
            decode_picture(data)


def test_the_decoder_takes_no_memory_for_them(tmp_path: Path) -> None:
    """In a process of its own, whose memory shows."""
    for number, data in enumerate(DISGUISES.values()):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 60_000, 60_000, 8, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(png)
    (tmp_path / "a.bmp").write_bytes(
        b"BM" + struct.pack("<IIIIiiHHIIIIII", 0, 0, 54, 40, 60_000, -60_000, 1, 24, *[0] * 6)
    )
    code = (
        "import resource, sys\nfrom pathlib import Path\nimport cv2\n"
        "from adapters.errors import MediaError\nfrom adapters.media import decode_picture\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in Path(sys.argv[1]).iterdir():\n"
        "    try:\n        assert decode_picture(path.read_bytes()) is None\n    except MediaError:\n        pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], env=environment(), capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 50_000  # kB


def test_mutants_are_decoded_or_refused() -> None:
    rng = np.random.default_rng(5)
    for kind in KINDS[:5]:
        data = picture(kind, 40, 30)
        for _ in range(60):
            mutant = bytearray(data)
            for place in rng.integers(0, min(len(data), 200), rng.integers(1, 5)):
                mutant[place] = rng.integers(256)
            try:
                found = decode_picture(bytes(mutant))
            except MediaError:
                continue
            size = size_of_picture(bytes(mutant))
            if found is not None:
                assert size is not None
                assert found.shape[0] * found.shape[1] <= max(size[0] * size[1], 1) <= MAX_PICTURE_PIXELS


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_prepared_frames_that_are_no_files(tmp_path: Path, make: object) -> None:
    make(tmp_path / "000000.jpg")  # type: ignore[operator]
    example = Example(
        path=tmp_path / "gone.mp4",
        labels=("warm",),
        frames=PreparedFrames(folder=tmp_path, fps=1.0, names=("000000.jpg",)),
    )
    with pytest.raises(MediaError, match=r"000000\.jpg"):
        read_prepared_clip(example, InputSpec(height=32, width=32, n_frames=1))


def test_prepared_frames_that_are_too_large(tmp_path: Path) -> None:
    (tmp_path / "000000.jpg").write_bytes(with_frame_size(jpeg(), 65500, 65500))
    example = Example(
        path=tmp_path / "gone.mp4",
        labels=("warm",),
        frames=PreparedFrames(folder=tmp_path, fps=1.0, names=("000000.jpg",)),
    )
    with pytest.raises(MediaError, match=r"000000\.jpg.*65500x65500"):
        read_prepared_clip(example, InputSpec(height=32, width=32, n_frames=1))
