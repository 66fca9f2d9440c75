"""Which kinds of files are read as video, and what another file is instead, by its first bytes.

FFmpeg recognises some 400 kinds of input. Many are not video (playlists, scripts, pictures, texts), some lead it to
other files and addresses. Those that are read here are listed; a file of any other kind is refused, by name where it is
known, before FFmpeg sees it.
"""

from __future__ import annotations

import re
from typing import BinaryIO

# FFmpeg's demuxers of containers and streams that hold video in themselves, and of sound, which is then called sound.
_VIDEO_FORMATS = (
    "mov mp4 matroska webm avi mpeg mpegts mpegvideo flv live_flv kux asf asf_o ogg gif apng mxf nut wtv dv rm nsv gxf "
    "lxf r3d cine dhav nuv pva pmp vivo ivf obu av1 h261 h263 h264 hevc vvc evc m4v vc1 vc1test cavsvideo avs2 avs3 "
    "dirac dnxhd apv mjpeg yuv4mpegpipe"
)
_SOUND_FORMATS = "mp3 wav w64 flac aac ac3 eac3 aiff au caf amr ape wv tta mp2 oma voc xwma dts truehd"
FILE_FORMATS = ",".join(f"{_VIDEO_FORMATS} {_SOUND_FORMATS}".split())
# An address that the caller allowed may be one of these too, and stdin a stream of pictures.
URL_FORMATS = f"{FILE_FORMATS},rtsp,rtp,rtp_mpegts,mpegtsraw,mpjpeg"
PIPE_FORMATS = f"{FILE_FORMATS},mpjpeg,jpeg_pipe,png_pipe,bmp_pipe,ppm_pipe,pgm_pipe"

HEAD_BYTES = 64 * 1024
_TEXT_BYTES = 1024
_FIRST_PICTURE_BYTES = 16 << 20
# Not in a text of any usual code: control characters except tab, line feed, form feed, return and escape.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]", re.DOTALL)  # of a JPEG
_MP4_START = re.compile(rb"\x00\x00\x00[\x10-\x7f]ftyp[ -~]{4}")
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")

_PICTURE = "a picture ({}), not a video. Give a video file or an animated GIF"
_ARCHIVE = "an archive ({}), not a video. Unpack it and give the video file"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"8BPS", _PICTURE.format("Photoshop")),
    (b"v/1\x01", _PICTURE.format("OpenEXR")),
    (b"#?RADIANCE", _PICTURE.format("Radiance HDR")),
    (b"DDS ", _PICTURE.format("DDS")),
    (b"qoif", _PICTURE.format("QOI")),
    (b"II*\x00", _PICTURE.format("TIFF or a camera's raw format")),
    (b"MM\x00*", _PICTURE.format("TIFF or a camera's raw format")),
    (b"\xff\x0a", _PICTURE.format("JPEG XL")),
    (b"\x00\x00\x00\x0cJXL ", _PICTURE.format("JPEG XL")),
    (b"\xff\x4f\xff\x51", _PICTURE.format("JPEG 2000")),
    (b"%PDF", "a PDF document, not a video. Give a video file"),
    (b"PK\x03\x04", _ARCHIVE.format("ZIP, or an Office document")),
    (b"\x1f\x8b", _ARCHIVE.format("gzip")),
    (b"7z\xbc\xaf\x27\x1c", _ARCHIVE.format("7z")),
    (b"Rar!", _ARCHIVE.format("RAR")),
    (b"\xfd7zXZ", _ARCHIVE.format("xz")),
    (b"BZh", _ARCHIVE.format("bzip2")),
    (b"\x28\xb5\x2f\xfd", _ARCHIVE.format("Zstandard")),
    (b"FWS", "a Flash animation (SWF), which is not supported. Convert it to MP4"),
    (b"CWS", "a Flash animation (SWF), which is not supported. Convert it to MP4"),
    (b"ZWS", "a Flash animation (SWF), which is not supported. Convert it to MP4"),
    (b"\x7fELF", "a program, not a video. Give a video file"),
    (b"MZ", "a program, not a video. Give a video file"),
    (b"SQLite format 3\x00", "a SQLite database, not a video. Give a video file"),
    (b"\x89HDF", "an HDF5 file, not a video. Give a video file"),
    (b"\x93NUMPY", "a NumPy array, not a video. Give a video file"),
    (b"\xd0\xcf\x11\xe0", "an Office document, not a video. Give a video file"),
)
_PLAYLIST = "a playlist ({}), which only lists videos. Give the video files themselves"
_SUBTITLES = "subtitles ({}), not a video. Give the video file"
_TEXTS: tuple[tuple[str, str], ...] = (
    (r"#EXTM3U", _PLAYLIST.format("HLS or M3U")),
    (r"ffconcat", _PLAYLIST.format("FFmpeg's concat script")),
    (r"file +[^\t\n]*[./][^\t\n]*(\n|$)", _PLAYLIST.format("FFmpeg's concat script")),
    (r"\[playlist\]", _PLAYLIST.format("PLS")),
    (r"\[Reference\]|\[InternetShortcut\]", _PLAYLIST.format("a link")),
    (r"v=0\s", _PLAYLIST.format("SDP")),
    (r"WEBVTT", _SUBTITLES.format("WebVTT")),
    (r"\d+\s+\d\d:\d\d:\d\d[,.]\d+\s*-->", _SUBTITLES.format("SubRip")),
    (r"\[Script Info\]", _SUBTITLES.format("SubStation Alpha")),
    (r"version https://git-lfs", "a Git LFS pointer, not the video. Fetch the video with `git lfs pull`"),
    (r"P[1-7f]\s", _PICTURE.format("PNM")),
)
_MARKUP: tuple[tuple[str, str], ...] = (
    (r"<MPD[\s>]", _PLAYLIST.format("DASH")),
    (r"<SmoothStreamingMedia", _PLAYLIST.format("Smooth Streaming")),
    (r"<(asx|playlist|smil|CompositionPlaylist)[\s>]", _PLAYLIST.format("XML")),
    (r"<svg[\s>]", _PICTURE.format("SVG")),
    (r"<tt[\s>:]", _SUBTITLES.format("TTML")),
    (r"<html|<!doctype html", "a web page (HTML), not a video. Download the video itself"),
)


def refused_as(head: bytes) -> str | None:
    """What a file is that is certainly no video, and what to do; None for what may be one.

    Args:
        head: The first bytes of the file, ``HEAD_BYTES`` of them or all.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return None if b"acTL" in head[: head.find(b"IDAT")] else _PICTURE.format("PNG")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        animated = head[12:16] == b"VP8X" and len(head) > 20 and head[20] & 2
        what = "an animated WebP, which is not supported. Convert it to MP4 or GIF"
        return what if animated else _PICTURE.format("WebP")
    if head[:4] == b"\0\0\1\0" and head[4:5] != b"\0" and head[5:6] == head[9:10] == b"\0":
        return _PICTURE.format("icon")
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return _PICTURE.format("BMP")
    if head[:12] == b"\x00\x00\x00\x0cjP  \r\n\x87\n" and b"mjp2" not in head[12:64]:
        return _PICTURE.format("JPEG 2000")
    if head[257:262] == b"ustar":
        return _ARCHIVE.format("tar")
    return next((what for magic, what in _MAGIC if head.startswith(magic)), None) or _text(head)


def _text(head: bytes) -> str | None:
    start = head[:_TEXT_BYTES]
    if not start or start.startswith(b"YUV4MPEG2"):
        return None
    if start.startswith(_MARKS[1:]):
        text = start.decode("utf-16", "replace")
        if sum(character == "�" for character in text) > 1:
            return None  # MPEG audio begins with the same bits
    elif _CONTROL.search(start):
        return None
    else:
        text = start.removeprefix(_MARKS[0]).decode("utf-8", "replace")
        if text.count("�") > len(text) // 4:  # no text, nor one in another code
            return None
    text = text.lstrip()
    if text.startswith("<"):
        found = (what for pattern, what in _MARKUP if re.search(pattern, text, re.IGNORECASE))
        return next(found, "a text file (XML or HTML), not a video. Give a video file")
    for pattern, what in _TEXTS:
        if re.match(pattern, text, re.IGNORECASE):
            return what
    return "a text file, a list or a script, not a video. Give a video file"


def is_jpeg(head: bytes) -> bool:
    """Whether a file begins as a JPEG picture does, which a raw MJPEG stream does as well.

    Args:
        head: The first bytes of the file.
    """
    return head.startswith(b"\xff\xd8\xff")


def is_jpeg_stream(file: BinaryIO) -> bool:
    """Whether a file is a raw MJPEG stream: two whole JPEG pictures of one size that follow one another.

    A photo that brings a second picture along (multi-picture format, gain maps) says so in its header and is not one.

    Args:
        file: The file, at its beginning; its position changes.
    """
    data = file.read(_FIRST_PICTURE_BYTES)
    first = _jpeg_end_and_size(data, 0)
    if first is None or first[1] is None or b"MPF\0" in data[: first[0]]:
        return False
    start = data.find(b"\xff\xd8\xff", first[0], first[0] + 64)
    if start < 0:
        return False
    second = _jpeg_end_and_size(data, start)
    return second is not None and second[1] == first[1]


def has_video_behind(file: BinaryIO) -> bool:
    """Whether an MP4 follows a JPEG picture, as in the motion photos of phones.

    Args:
        file: The file, at its beginning; its position changes.
    """
    data = file.read(_FIRST_PICTURE_BYTES)
    first = _jpeg_end_and_size(data, 0)
    return first is not None and _MP4_START.search(data, first[0]) is not None


def _jpeg_end_and_size(data: bytes, start: int) -> tuple[int, bytes | None] | None:
    """Where a JPEG ends (its header, if it is cut), and its size as stored (ITU-T T.81, B.2); None if it is none."""
    at, size = start + 2, None
    while at + 2 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xD9:
            return at + 2, size
        if marker == 0xFF or 0xD0 <= marker <= 0xD7 or marker == 1:
            at += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            size = data[at + 5 : at + 9]
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xDA:  # the picture's data, in which FF00 and restart marks are data
            following = _MARKER.search(data, at)
            if following is None:
                return None if size is None else (len(data), size)
            at = following.start()
    return None
