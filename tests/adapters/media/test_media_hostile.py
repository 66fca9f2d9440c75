"""Files that would lead to others, that are not videos under a video's name, or that declare more than they hold."""

from __future__ import annotations

import gzip
import io
import os
import socket
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from media_patterns import numbered_frame, write_video
from mp4_boxes import box, full_box, movie_header, mp4, numbers, sample_entry, tables, track
from tiny_videos import render_video

from adapters.errors import MediaError
from adapters.media import VIDEO_SUFFIXES, open_video, probe
from adapters.media.mp4_tables import DeclaredTooMuch, read_tables

# Other files and addresses --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that nothing leads to: whatever opens shows it."""
    return render_video(tmp_path_factory.mktemp("canary") / "canary.mp4", "warm", 0)


@pytest.fixture
def listening() -> Iterator[tuple[int, list[object]]]:
    """A port on loopback, and who connected to it."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                came.append(address)
                connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], came
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def leading_elsewhere(url: str, path: str) -> dict[str, bytes]:
    """Bodies that name an address or a file, by what their error says."""
    port = url.split(":")[2].split("/")[0]
    alias = full_box(b"dref", numbers(1), full_box(b"url ", f"file://{path}".encode() + b"\0"))
    reference = box(b"rmra", box(b"rmda", full_box(b"rdrf", b"url ", numbers(len(url)), url.encode())))
    texts = {
        "playlist 1": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n",
        "playlist 2": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\nfile://{path}\n#EXT-X-ENDLIST\n",
        "playlist 3": f"\n  #EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9\n{url}\n",
        "playlist 4": f"ffconcat version 1.0\nfile '{path}'\n",
        "playlist 5": f"file '{path}'\n",
        "playlist 6": f"\ufeffffconcat version 1.0\nfile {url}\n",
        "playlist 7": f'<?xml version="1.0"?><MPD type="static"><Period><BaseURL>{url}</BaseURL></Period></MPD>',
        "playlist 8": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n",
        "playlist 9": f"[playlist]\nFile1={url}\n",
        "playlist 10": f"[Reference]\nRef1={url}\n",
        "playlist 11": f'<asx version="3"><entry><ref href="{url}"/></entry></asx>',
        "playlist 12": f'<SmoothStreamingMedia MajorVersion="2"><StreamIndex Url="{url}"/></SmoothStreamingMedia>',
        "a picture 1": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/></svg>',
        "a picture 2": f'<?xml version="1.0"?>\n<!DOCTYPE svg [<!ENTITY x SYSTEM "file://{path}">]><svg>&x;</svg>',
        "web page": f'<!DOCTYPE html><html><video src="{url}"></video></html>',
        "a text 1": f"RTSPtextRTSP://127.0.0.1/{url}\n",
        "a text 2": f'{{"path": "{path}"}}',
        "a text 3": f"# VobSub index file, v7\nid: en, index: 0\n{path}\n",
        "a text 4": f";FFMETADATA1\ntitle={path}\n",
    }
    return {
        **{name: text.encode() for name, text in texts.items()},
        "a text 5": f"#EXTM3U\n{url}\n".encode("utf-16"),
        "another file": mp4(track(1, tables(3), data_reference=alias)),
        "another file 2": box(b"ftyp", b"qt  ", numbers(0)) + box(b"moov", reference),
    }


def test_nothing_leads_to_another_file_or_address(
    canary: Path, tmp_path: Path, listening: tuple[int, list[object]]
) -> None:
    port, came = listening
    bodies = leading_elsewhere(f"http://127.0.0.1:{port}/a.ts", str(canary))
    for suffix in sorted({*VIDEO_SUFFIXES, ".m3u8", ".sdp", ".mpd", ".ffconcat", ".svg", ""}):
        for number, (word, body) in enumerate(bodies.items()):
            path = tmp_path / f"{number}{suffix}"
            path.write_bytes(body)
            with pytest.raises(MediaError) as caught:
                probe(path)
            text = str(caught.value)
            assert text.startswith(f"{path}: ")
            if word != "a text 5":
                assert word.rstrip(" 0123456789") in text, (suffix, text)
    assert came == []


def test_names_that_are_patterns_or_protocols_are_names(canary: Path, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"frame{number}.mp4").write_bytes(canary.read_bytes())
    for name in ("frame%d.mp4", "frame*.mp4", "concat:frame0.mp4|frame1.mp4", "subfile,,start,0,end,0,,:frame0.mp4"):
        with pytest.raises(MediaError, match="no such file"):
            probe(tmp_path / name)
        with pytest.raises(MediaError, match="no such file"):
            probe(name)
    with pytest.raises(MediaError, match="no such file"):
        probe("data:video/mp4;base64,AAAA")


def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.mp4"))
        for name, word in (("pipe", "pipe"), ("link", "pipe"), ("zero", "device"), ("socket", "socket")):
            with pytest.raises(MediaError, match=word):
                probe(tmp_path / f"{name}.mp4")
    assert time.monotonic() - began < 60


# What a file is instead -----------------------------------------------------------------------------------------------


def picture(codec: str, pixel_format: str, format: str) -> bytes:
    data = io.BytesIO()
    with av.open(data, "w", format=format) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        frame = av.VideoFrame.from_ndarray(numbered_frame(1, 64, 48), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return data.getvalue()


def zipped() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("video.mp4", b"x" * 99)
    return data.getvalue()


def heif(brand: bytes) -> bytes:
    """The boxes of a still picture: no moov."""
    meta = full_box(b"meta", full_box(b"hdlr", numbers(0), b"pict", bytes(13)))
    return box(b"ftyp", brand, numbers(0), b"mif1", brand) + meta + box(b"mdat", bytes(200))


def jpeg() -> bytes:
    return picture("mjpeg", "yuvj420p", "image2pipe")


INSTEAD: dict[str, tuple[bytes, str]] = {
    "JPEG": (jpeg(), r"a picture \(JPEG\)"),
    "JPEG with a gain map": (jpeg()[:2] + b"\xff\xe2\0\x08MPF\0ab" + jpeg()[2:] + jpeg(), r"a picture \(JPEG\)"),
    "cut JPEG": (jpeg()[:-40], r"a picture \(JPEG\)"),
    "PNG": (picture("png", "rgb24", "image2pipe"), r"a picture \(PNG\)"),
    "BMP": (picture("bmp", "bgr24", "image2pipe"), r"a picture \(BMP\)"),
    "TIFF": (picture("tiff", "rgb24", "image2pipe"), r"a picture \(TIFF"),
    "HEIC": (heif(b"heic"), r"a picture \(HEIC\)"),
    "AVIF": (heif(b"avif"), r"a picture \(AVIF\)"),
    "WebP": (b"RIFF\x24\0\0\0WEBPVP8 " + bytes(200), r"a picture \(WebP\)"),
    "animated WebP": (b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\x02" + bytes(200), "an animated WebP"),
    "JPEG XL": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(200), "JPEG XL"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 " + bytes(200), "JPEG 2000"),
    "icon": (b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x18\0" + bytes(200), "icon"),
    "SVG": (b"<svg xmlns='x'/>", r"a picture \(SVG\)"),
    "PNM": (b"P6\n64 48\n255\n" + b"a" * 2000, r"a picture \(PNM\)"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(200), "PDF"),
    "ZIP": (zipped(), r"an archive \(ZIP"),
    "gzip": (gzip.compress(bytes(5000)), r"an archive \(gzip\)"),
    "SWF": (b"CWS\x0a" + bytes(300), "Flash"),
    "program": (b"\x7fELF\x02\x01\x01" + bytes(300), "a program"),
    "subtitles": (b"1\r\n00:00:01,000 --> 00:00:02,000\r\nHello\r\n", r"subtitles \(SubRip\)"),
    "WebVTT": (b"WEBVTT\n\n00:01.000 --> 00:04.000\nHello\n", r"subtitles \(WebVTT\)"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "text": ("Grüße, a few words".encode("latin-1") * 20, "a text"),
    "CSV": (b"path,label\na.mp4,cat\n", "a text"),
    "HTML": (b"<html><body>404</body></html>", "web page"),
    "encrypted MP4": (mp4(track(1, tables(3, entry=b"encv"))), "encrypted"),
    "encrypted MP4 in fragments": (
        box(b"ftyp", b"iso6", numbers(0)) + movie_header(track(1, tables(0, entry=b"encv"))) + box(b"moof", bytes(8)),
        "encrypted",
    ),
    "no media data": (
        box(b"ftyp", b"isom", numbers(0)) + movie_header(track(1, tables(3))),
        "has an index but no media data",
    ),
}


@pytest.mark.parametrize("name", INSTEAD)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".bin"])
def test_a_file_is_named_for_what_it_is(name: str, suffix: str, tmp_path: Path) -> None:
    body, word = INSTEAD[name]
    path = tmp_path / f"file{suffix}"
    path.write_bytes(body)
    with pytest.raises(MediaError, match=word) as caught:
        probe(path)
    assert "cut short" not in str(caught.value) or name == "no media data"


def test_media_data_that_were_cut_away_are_named(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "fast.mp4", [numbered_frame(i) for i in range(9)], container_options={"movflags": "faststart"}
    )
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])
    with pytest.raises(MediaError, match="no media data: it is cut short"):
        probe(path)


def ebml(kind: str, *content: bytes) -> bytes:
    data = b"".join(content)
    return bytes.fromhex(kind) + struct.pack(">Q", len(data) | 1 << 56) + data


def test_an_encrypted_webm_is_named(tmp_path: Path) -> None:
    encryption = ebml("5035", ebml("47E1", b"\x05"), ebml("47E2", bytes(range(16))))
    encoding = ebml("6D80", ebml("6240", ebml("5031", b"\0"), ebml("5032", b"\1"), ebml("5033", b"\1"), encryption))
    size = ebml("E0", ebml("B0", b"\x40"), ebml("BA", b"\x30"))
    entry = ebml("AE", ebml("D7", b"\1"), ebml("73C5", b"\1"), ebml("83", b"\1"), ebml("86", b"V_VP8"), encoding, size)
    cluster = ebml("1F43B675", ebml("E7", b"\0"), *[ebml("A3", b"\x81\0\0\x80\1" + bytes(99)) for _ in range(9)])
    header = ebml("1A45DFA3", ebml("4282", b"webm"), ebml("4287", b"\2"), ebml("4285", b"\2"))
    segment = ebml("18538067", ebml("1549A966", ebml("2AD7B1", b"\x0f\x42\x40")), ebml("1654AE6B", entry), cluster)
    path = tmp_path / "encrypted.webm"
    path.write_bytes(header + segment)
    with pytest.raises(MediaError, match="encrypted"):
        probe(path)


def test_streams_of_pictures_are_videos(shared: Path, tmp_path: Path) -> None:
    case = shared / "cases" / "media" / "elementary.mjpeg"
    for path in (case, tmp_path / "other.mp4", tmp_path / "padded.mjpg"):
        if path != case:
            path.write_bytes(case.read_bytes())
        with open_video(path) as video:
            assert len(list(video.frames(height=32, width=32))) == 50
    with pytest.raises(MediaError, match="an animated WebP"):
        probe(shared / "cases" / "media" / "animated.webp")


def test_an_animated_png_is_a_video(tmp_path: Path) -> None:
    pictures = [numbered_frame(number, 64, 48) for number in range(5)]
    path = write_video(tmp_path / "animated.apng", pictures, "apng", "rgb24")
    with open_video(path) as video:
        assert len(list(video.frames())) == 5


def test_an_avif_sequence_is_a_video_and_one_picture_of_it_is_not(tmp_path: Path) -> None:
    def sequence(path: Path, count: int) -> Path:
        plain = write_video(tmp_path / "plain.mp4", [numbered_frame(i) for i in range(count)])
        path.write_bytes(plain.read_bytes().replace(b"ftypisom", b"ftypavis", 1))
        return path

    assert probe(sequence(tmp_path / "five.avif", 5)).frame_count == 5
    with pytest.raises(MediaError, match=r"a picture \(AVIF\)"):
        probe(sequence(tmp_path / "one.avif", 1))


# Tables that declare more than the file holds -------------------------------------------------------------------------

MANY = 40_000_000


def compressed(header: bytes) -> bytes:
    moved = box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", numbers(len(header)), zlib.compress(header, 9)))
    return box(b"ftyp", b"qt  ", numbers(0)) + box(b"mdat", bytes(100)) + box(b"moov", moved)


def nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = box(b"moov", data)
    return box(b"ftyp", b"isom", numbers(512)) + data


def long_edits() -> bytes:
    boxes = tables(400_000)
    boxes.insert(2, full_box(b"stss", numbers(1, 1)))
    edits = [(10, 15_999_000)] * 2000  # each from the only key frame on
    return mp4(track(1, boxes, edits=edits, duration=16_000_000), data=bytes(400_100))


def chunked_sound() -> bytes:
    boxes = tables(MANY, 2, b"sowt", ticks=1)
    boxes[2] = full_box(b"stsc", numbers(1, 1, 0x7FFFFFFF, 1))
    boxes[4] = full_box(b"stco", numbers(200, *[40] * 200))
    return mp4(track(1, boxes, b"soun"))


def fragments(flags: int, count: int) -> bytes:
    run = full_box(b"trun", numbers(count), flags=flags)
    moof = box(b"moof", full_box(b"mfhd", numbers(1)), box(b"traf", full_box(b"tfhd", numbers(1), flags=0x20000), run))
    return mp4(track(1, tables(0)), after=moof + box(b"mdat", bytes(50)))


def wide_sizes() -> bytes:
    header = movie_header(track(1, tables(MANY)))
    return box(b"ftyp", b"isom", numbers(0)) + struct.pack(">I4sQ", 1, b"mdat", 116) + bytes(100) + header


def listed_sizes(kind: bytes, *words: int) -> bytes:
    boxes = tables(3)
    boxes[3] = full_box(kind, numbers(*words), b"1234")
    return mp4(track(1, boxes))


DECLARED: dict[str, bytes] = {
    "one track": mp4(track(1, tables(MANY))),
    "eight tracks": mp4(*[track(number, tables(MANY // 8)) for number in range(1, 9)]),
    "samples of no size": mp4(track(1, tables(MANY, 0xFFFFFFFF))),
    "sizes that are not there": listed_sizes(b"stsz", 0, MANY),
    "half bytes that are not there": listed_sizes(b"stz2", 4, MANY),
    "times that are not there": mp4(track(1, [*tables(3), full_box(b"ctts", numbers(MANY))])),
    "sound in chunks": chunked_sound(),
    "edits": long_edits(),
    "a run of a fragment": fragments(0, MANY),
    "a run that is not there": fragments(0xF00, MANY),
    "a 64-bit size": wide_sizes(),
    "a compressed header": compressed(movie_header(track(1, tables(MANY)))),
    "a compressed header of zeros": compressed(box(b"moov", bytes(80 << 20))),
    "nested": nested(3000),
    "tracks": mp4(*[track(number, tables(1)) for number in range(1200)]),
    "another first box": box(b"junk", bytes(9)) + mp4(track(1, tables(MANY))),
}


@pytest.mark.parametrize("name", DECLARED)
def test_what_is_declared_is_compared_with_the_size(name: str, tmp_path: Path) -> None:
    path = tmp_path / "declared.mp4"
    path.write_bytes(DECLARED[name])
    began = time.process_time()
    with pytest.raises(MediaError, match="damaged"):
        probe(path)
    assert time.process_time() - began < 5


class Stored:
    """A file outside this machine."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size_bytes = data, len(data)

    def __str__(self) -> str:
        return "s3://bucket/stored.mp4"

    def open_binary(self) -> io.BytesIO:
        return io.BytesIO(self.data)


def test_stored_files_are_looked_at_too() -> None:
    with pytest.raises(MediaError, match=r"^s3://bucket/stored.mp4: damaged"):
        open_video(Stored(DECLARED["one track"]))
    for name, (body, word) in INSTEAD.items():
        with pytest.raises(MediaError, match=word), open_video(Stored(body)):
            pytest.fail(name)


def test_sound_of_many_small_samples_is_legal(tmp_path: Path) -> None:
    """Uncompressed sound has a sample per tick: more of them than bytes divided by 16."""
    path = tmp_path / "sound.mov"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_u8", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.full((1, 8000), 128, np.uint8), format="u8", layout="mono")
        silence.sample_rate = 8000
        for number in range(100):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, 64, 48), format="rgb24")
            container.mux(stream.encode(frame))
            silence.pts = 8000 * number
            container.mux(sound.encode(silence))
        container.mux(stream.encode())
        container.mux(sound.encode())
    assert probe(path).frame_count == 100
    with open(path, "rb") as file:
        found = read_tables(file, path.stat().st_size)
    assert max(item.samples for item in found.tracks) == 800_000


@pytest.mark.parametrize("bytes_per_sample", [24, 40, 1000])
def test_long_recordings_are_legal(bytes_per_sample: int) -> None:
    """Ten hours of a still screen at 60 frames per second, in tables as a muxer writes them."""
    count = 2_160_000
    boxes = tables(1)
    boxes[1] = full_box(b"stts", numbers(1, count, 40))
    boxes[3] = full_box(b"stsz", numbers(0, count), bytes(4 * count))
    data = mp4(track(1, boxes))
    found = read_tables(io.BytesIO(data), len(data) + (bytes_per_sample - 4) * count)
    assert found.tracks[0].samples == count


def test_every_legal_file_at_hand_passes(shared: Path) -> None:
    for path in sorted((shared / "media").rglob("*.m*")):
        if path.suffix in (".mp4", ".mov", ".m4v") and path.is_file():
            with open(path, "rb") as file:
                try:
                    read_tables(file, path.stat().st_size)
                except DeclaredTooMuch as error:
                    pytest.fail(f"{path}: {error}")


def test_frames_that_no_memory_holds_cost_nothing(tmp_path: Path) -> None:
    sample = sample_entry(b"mjpa").replace(struct.pack(">HH", 64, 48), b"\xff\xff\xff\xff")
    boxes = [sample, *tables(3)[1:]]
    (tmp_path / "large.mov").write_bytes(mp4(track(1, boxes)))
    header = b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02\x4c\x01\0;"
    (tmp_path / "large.gif").write_bytes(header)
    for name in ("large.mov", "large.gif"):
        with pytest.raises(MediaError):
            probe(tmp_path / name)


@pytest.mark.parametrize("count", [1, 4])
def test_avif_as_its_encoder_writes_it(tmp_path: Path, count: int) -> None:
    path = tmp_path / "encoded.avif"
    pictures = [numbered_frame(number, 64, 48) for number in range(count)]
    write_video(path, pictures, "libsvtav1", options={"preset": "13"})
    if count == 1:
        with pytest.raises(MediaError, match=r"a picture \(AVIF\)"):
            probe(path)
    else:
        with open_video(path) as video:
            assert len(list(video.frames())) == count


def test_a_segment_without_its_header_is_named(tmp_path: Path) -> None:
    flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    whole = write_video(tmp_path / "whole.mp4", [numbered_frame(i) for i in range(9)], container_options=flags)
    data = whole.read_bytes()
    path = tmp_path / "segment.m4s"
    path.write_bytes(data[data.index(b"moof") - 4 :])
    with pytest.raises(MediaError, match="a segment of an MP4 stream without its header"):
        probe(path)


def test_a_damaged_index_is_named(tmp_path: Path) -> None:
    path = tmp_path / "damaged.mp4"
    path.write_bytes(mp4(track(1, [sample_entry(), full_box(b"stsz", numbers(0, 3))])))
    with pytest.raises(MediaError) as caught:
        probe(path)
    assert "cut short" not in str(caught.value)
