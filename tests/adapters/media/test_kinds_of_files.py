"""What a file is by its first bytes, and which stream of a container is the footage: tables of each case."""

import io
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.errors import MediaError
from adapters.media import stream_choice
from adapters.media.inspection import Inspection
from adapters.media.mp4_tables import Mp4Tables, Track
from adapters.media.recognition import is_jpeg, is_jpeg_stream, refused_as

_PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (_PNG + b"\0\0\0\rIHDR" + b"IDAT" + b"acTL", "(PNG)"),
        (_PNG + b"IHDRIDAT", "(PNG)"),
        (b"RIFF\0\0\0\0WEBPVP8 " + bytes(20), "(WebP)"),
        (b"RIFF\0\0\0\0WEBPVP8X" + bytes(4) + b"\x10" + bytes(9), "(WebP)"),
        (b"RIFF\0\0\0\0WEBPVP8X" + bytes(4), "(WebP)"),
        (b"RIFF\0\0\0\0WEBPVP8X" + bytes(4) + b"\x12" + bytes(9), "an animated WebP"),
        (b"\0\0\1\0\1\0\x10\x10\0\0", "(icon)"),
        (b"BM\x10\0\0\0\0\0\0\0\x36", "(BMP)"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + b"ftypjp2 ", "(JPEG 2000)"),
        (bytes(257) + b"ustar", "(tar)"),
        (b"8BPS\0\1", "(Photoshop)"),
        (b"v/1\x01\2\0", "(OpenEXR)"),
        (b"#?RADIANCE\n", "(Radiance HDR)"),
        (b"DDS |\0\0\0", "(DDS)"),
        (b"qoif\0\0", "(QOI)"),
        (b"II*\x00\x08\0", "raw format"),
        (b"MM\x00*\0\0", "raw format"),
        (b"\xff\x0a\0\1", "(JPEG XL)"),
        (b"\x00\x00\x00\x0cJXL \r\n", "(JPEG XL)"),
        (b"\xff\x4f\xff\x51\0", "(JPEG 2000)"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"PK\x03\x04\0\1", "(ZIP, or an Office document)"),
        (b"\x1f\x8b\x08\0", "(gzip)"),
        (b"7z\xbc\xaf\x27\x1c\0", "(7z)"),
        (b"Rar!\x1a\7", "(RAR)"),
        (b"\xfd7zXZ\0", "(xz)"),
        (b"BZh91AY", "(bzip2)"),
        (b"\x28\xb5\x2f\xfd\0", "(Zstandard)"),
        (b"FWS\6", "Flash animation"),
        (b"CWS\6", "Flash animation"),
        (b"ZWS\6", "Flash animation"),
        (b"\x7fELF\2\1", "a program"),
        (b"MZ\x90\0", "a program"),
        (b"SQLite format 3\x00", "a SQLite database"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"\x93NUMPY\1\0", "a NumPy array"),
        (b"\xd0\xcf\x11\xe0\xa1", "an Office document"),
        (b"#EXTM3U\n", "(HLS or M3U)"),
        (b"\xef\xbb\xbf#extm3u\n", "(HLS or M3U)"),
        ("#EXTM3U\n".encode("utf-16"), "(HLS or M3U)"),
        (b"ffconcat version 1.0\n", "concat script"),
        (b"file a.mp4\nfile b.mp4\n", "concat script"),
        (b"[playlist]\nFile1=a\n", "(PLS)"),
        (b"[Reference]\n", "(a link)"),
        (b"[InternetShortcut]\n", "(a link)"),
        (b"v=0\r\no=-", "(SDP)"),
        (b"WEBVTT\n", "(WebVTT)"),
        (b"1\n00:00:01,000 --> 00:00:02,000\n", "(SubRip)"),
        (b"[Script Info]\n", "(SubStation Alpha)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"P3\n1 1\n", "(PNM)"),
        (b"P7 x", "(PNM)"),
        (b"<?xml version='1.0'?><MPD xmlns=''>", "(DASH)"),
        (b"<SmoothStreamingMedia>", "(Smooth Streaming)"),
        (b"  \n<asx version='3'>", "(XML)"),
        (b"<smil>", "(XML)"),
        (b"<CompositionPlaylist>", "(XML)"),
        (b"<svg width='1'>", "(SVG)"),
        (b"<tt xmlns=''>", "(TTML)"),
        (b"<!DOCTYPE html>", "a web page (HTML)"),
        (b"<HTML>", "a web page (HTML)"),
        (b"<note>", "a text file (XML or HTML)"),
        (b"a,b\n1,2\n", "a text file, a list or a script"),
        (b"P8 is no PNM", "a text file, a list or a script"),
        (b"v=01", "a text file, a list or a script"),
    ],
)
def test_each_kind_of_file_that_is_no_video_is_named(head: bytes, word: str) -> None:
    found = refused_as(head)
    assert found is not None
    assert word in found


@pytest.mark.parametrize(
    "head",
    [
        b"",
        _PNG + b"acTL....IDAT",  # an animated PNG
        b"RIFF\0\0\0\0AVI LIST",
        b"\0\0\1\0\0\0\x10\x10\0\0",  # an icon of no pictures
        b"\0\0\1\0\1\1\x10\x10\0\1",
        b"BM\x10\0\0\0\1\0\0\0",
        b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(20) + b"mjp2",  # Motion JPEG 2000
        bytes(256) + b"ustar",
        b"YUV4MPEG2 W4 H4\n",
        b"\x00\x00\x00\x18ftypmp42",
        b"plain words\x00",
        b"\xff\xfe\x90\xd8\x00\xd8\x00\xd8" + b"\x00\xd8" * 9,  # sound begins with the same bits
        b"\xe9\xe8\xe7\xe6 ab",
    ],
)
def test_what_may_be_a_video_is_not_refused(head: bytes) -> None:
    assert refused_as(head) is None


def _jpeg(width: int, data: bytes = b"\x12\x34", extra: bytes = b"") -> bytes:
    frame = b"\xff\xc0\x00\x0b\x08\x00\x10" + width.to_bytes(2) + b"\x01\x01\x11\x00"
    return b"\xff\xd8" + extra + frame + b"\xff\xda\x00\x04\x00\x00" + data + b"\xff\xd9"


@pytest.mark.parametrize(
    ("data", "is_stream"),
    [
        (_jpeg(16) + _jpeg(16), True),
        (_jpeg(16) + bytes(60) + _jpeg(16), True),
        (_jpeg(16) + bytes(62) + _jpeg(16), False),
        (_jpeg(16) + _jpeg(24), False),  # a thumbnail after a photo
        (_jpeg(16), False),
        (_jpeg(16, extra=b"\xff\xe2\x00\x06MPF\0") + _jpeg(16), False),
        (_jpeg(16, data=b"\xff\x00\xff\xd3\x01") + _jpeg(16), True),  # restart marks and FF00 are data
        (_jpeg(16, extra=b"\xff\xff\xe0\x00\x02") + _jpeg(16), True),  # a fill byte
        (_jpeg(16, extra=b"\xff\x01") + _jpeg(16), True),  # a mark of its own
        (b"\xff\xd8\x00" + _jpeg(16), False),
        (_jpeg(16) + _jpeg(16)[:-2], True),  # the second one is not whole
        (b"\xff\xd8\xff\xda\x00\x04\x00\x00\x12", False),
        (b"", False),
    ],
)
def test_a_stream_of_jpegs_is_two_whole_ones_of_one_size(data: bytes, is_stream: bool) -> None:
    assert is_jpeg_stream(io.BytesIO(data + b"more")) is is_stream


def test_a_jpeg_is_known_by_three_bytes() -> None:
    assert is_jpeg(b"\xff\xd8\xff\xe0")
    assert not is_jpeg(b"\xff\xd8\x00\xe0")


# Which stream ---------------------------------------------------------------------------------------------------------


def _stream(index: int, frames: int = 0, **other: Any) -> Any:
    codec = other.pop("codec", "h264")
    size = other.pop("size", (640, 360))
    context = None if codec is None else SimpleNamespace(name=codec, width=size[0], height=size[1], flags=0, options={})
    values: dict[str, Any] = {
        "index": index,
        "frames": frames,
        "duration": None,
        "time_base": None,
        "metadata": {},
        "average_rate": 25,
        "guessed_rate": None,
        "disposition": stream_choice.Disposition(0),
        "codec_context": context,
    }
    return SimpleNamespace(**{**values, **other})


def _container(*streams: Any, best: int | None = None, sound: int = 0) -> Any:
    chosen = next((stream for stream in streams if stream.index == best), None)
    listed = SimpleNamespace(video=list(streams), audio=[object()] * sound, best=lambda kind: chosen)
    return SimpleNamespace(streams=listed)


_STILL, _THUMB, _DEFAULT = (
    stream_choice.Disposition.attached_pic,
    stream_choice.Disposition.timed_thumbnails,
    stream_choice.Disposition.default,
)


@pytest.mark.parametrize(
    ("streams", "best", "expected"),
    [
        ([_stream(0, 100), _stream(1, 100)], 1, 1),  # FFmpeg's default
        ([_stream(0, 1), _stream(1, 100)], 0, 1),  # a cover
        ([_stream(0, 3), _stream(1, 150)], 0, 1),  # a few pictures beside fifty times more
        ([_stream(0, 3), _stream(1, 149)], 0, 0),
        ([_stream(0, 4), _stream(1, 5000)], 0, 0),
        ([_stream(0, 100, codec="png"), _stream(1, 100)], 0, 1),
        ([_stream(0, 100, codec="mjpeg"), _stream(1, 100)], 0, 1),
        ([_stream(0, 100, codec="mjpeg")], 0, 0),  # nothing else is there
        ([_stream(0, 1)], 0, 0),
        ([_stream(0, 100, codec=None), _stream(1, 1)], 1, 0),
        ([_stream(0, 100, disposition=_STILL), _stream(1, 100)], 0, 1),
        ([_stream(0, 100, disposition=_THUMB), _stream(1, 100)], 0, 1),
        ([_stream(0, 100), _stream(1, 100, size=(1280, 720))], None, 1),  # the larger picture
        ([_stream(0, 100, size=(1280, 720)), _stream(1, 100, disposition=_DEFAULT)], None, 1),
        ([_stream(0, 100), _stream(1, 100)], None, 0),
        ([_stream(0, 100, size=(100, 90)), _stream(1, 100, size=(95, 98))], None, 1),
        # Without a count: by length and rate, or by the tag of Matroska.
        ([_stream(0, duration=40, time_base=0.001), _stream(1, 100)], 0, 1),
        ([_stream(0, duration=4000, time_base=0.001), _stream(1, 100)], 0, 0),
        ([_stream(0, metadata={"DURATION": "00:00:00.040000000"}), _stream(1, 100)], 0, 1),
        ([_stream(0, metadata={"DURATION": "01:00:00.000000000"}), _stream(1, 100)], 0, 0),
        ([_stream(0, metadata={"DURATION": "00:01:00"}), _stream(1, 100)], 0, 0),
        ([_stream(0, metadata={"DURATION": "a while"}), _stream(1, 100)], 0, 0),
        ([_stream(0, 3), _stream(1, metadata={"DURATION": "00:00:05.9"})], 0, 0),
        ([_stream(0, 3), _stream(1, metadata={"DURATION": "00:00:06"})], 0, 1),
        ([_stream(0, 3), _stream(1, metadata={"DURATION": "00:00:06"}, average_rate=None, guessed_rate=25)], 0, 1),
        ([_stream(0, 3), _stream(1, metadata={"DURATION": "00:00:06"}, average_rate=None)], 0, 0),
    ],
)
def test_the_footage_is_chosen_over_covers_and_thumbnails(streams: list[Any], best: int | None, expected: int) -> None:
    assert stream_choice.main_stream(_container(*streams, best=best)).index == expected


@pytest.mark.parametrize(
    ("container", "chosen", "inspection", "message"),
    [
        (_container(_stream(0, disposition=_STILL), sound=1), None, Inspection(), "its only picture is cover art"),
        (_container(sound=1), None, Inspection(), "the file has sound only, no video stream"),
        (_container(), None, Inspection(), "x: the file has no video stream"),
        (_container(_stream(0, 1), best=0), None, Inspection(tables=Mp4Tables(brands=(b"avif",))), "a picture (AVIF)"),
        (
            _container(_stream(0, 9), _stream(2, 9, size=(8, 6), codec="vp9"), _stream(3, codec=None)),
            1,
            Inspection(),
            "stream 1 is not a video stream of this file. Allowed: 0 (640x360 h264), 2 (8x6 vp9), 3 (unknown codec)",
        ),
        (_container(_stream(0, 9, codec=None), best=0), None, Inspection(), "no decoder for the codec of video stream"),
        (_container(_stream(0, 9, metadata={"enc_key_id": "1"}), best=0), None, Inspection(), "without DRM"),
        (
            _container(_stream(1, 9), best=1),
            None,
            Inspection(tables=Mp4Tables(tracks=[Track(), Track(encrypted=True)])),
            "x: the video is encrypted",
        ),
    ],
)
def test_what_has_no_stream_to_read_is_refused_by_its_reason(
    container: Any, chosen: int | None, inspection: Inspection, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_choice, "inspection_of", lambda source: inspection)
    with pytest.raises(MediaError) as caught:
        stream_choice.choose_stream(container, "x", chosen)
    assert message in str(caught.value)


@pytest.mark.parametrize(("chosen", "expected"), [(None, 1), (0, 0), (1, 1)])
def test_the_chosen_stream_crops_exactly_and_has_a_bound(
    chosen: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    unencrypted = Inspection(tables=Mp4Tables(tracks=[Track(), Track(), Track(encrypted=True)]))
    monkeypatch.setattr(stream_choice, "inspection_of", lambda source: unencrypted)
    found = stream_choice.choose_stream(_container(_stream(0, 2), _stream(1, 900), best=0), "x", chosen)
    assert found.index == expected
    assert int(found.codec_context.options["max_pixels"]) == stream_choice.MOST_FRAME_PIXELS
    assert found.codec_context.flags & stream_choice.Flags.unaligned


def test_a_picture_of_several_frames_is_a_video(monkeypatch: pytest.MonkeyPatch) -> None:
    animated = Inspection(tables=Mp4Tables(brands=(b"msf1", b"avis")))
    monkeypatch.setattr(stream_choice, "inspection_of", lambda source: animated)
    assert stream_choice.choose_stream(_container(_stream(0, 2), best=0), "x", None).index == 0
    assert animated.picture == "HEIF"
