"""What is read of playlists and chat logs, tag by tag and key by key, and where the edges of a clip lie."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.errors import DatasetError, MediaError
from cliplab.detect.highlights.cells import CELL_SECONDS, Cells
from cliplab.detect.highlights.chat import DELAY_SECONDS, ChatFeed, chat_rate, read_chat
from cliplab.detect.highlights.edges import planned, with_edges
from cliplab.detect.highlights.hls import decrypt
from cliplab.detect.highlights.hls_playlist import Key, choose_sound, choose_variant, parse_playlist
from cliplab.detect.highlights.options import HighlightOptions
from cliplab.detect.highlights.proposing import Peak

URL = "https://host/live/list.m3u8"


def playlist(*lines: str) -> Any:
    return parse_playlist("\n".join(["#EXTM3U", *lines]), URL)


def segment(*lines: str) -> Any:
    return playlist(*lines, "#EXTINF:4.5,", "a.ts").segments[0]


def test_segments_are_numbered_timed_and_placed() -> None:
    found = playlist(
        "#EXT-X-TARGETDURATION:7", "#EXT-X-MEDIA-SEQUENCE:40", "#EXT-X-DISCONTINUITY-SEQUENCE:3",
        "#EXTINF:4.5,title", "a.ts", "#EXTINF:5", "/b.ts", "#EXT-X-DISCONTINUITY", "#EXTINF:6,", "https://other/c.ts",
        "#EXTINF:2,", "d.ts",
    )  # fmt: skip
    assert found.target_seconds == 7.0
    assert not found.ended
    assert [one.sequence for one in found.segments] == [40, 41, 42, 43]
    assert [one.seconds for one in found.segments] == [4.5, 5.0, 6.0, 2.0]
    assert [one.url for one in found.segments] == [
        "https://host/live/a.ts", "https://host/b.ts", "https://other/c.ts", "https://host/live/d.ts",
    ]  # fmt: skip
    assert [one.discontinuity for one in found.segments] == [False, False, True, False]
    assert [one.period for one in found.segments] == [3, 3, 4, 4]
    assert playlist("#EXTINF:1,", "a.ts", "#EXT-X-ENDLIST").ended


@pytest.mark.parametrize(("text", "seconds"), [("0.1", 0.5), ("0.5", 0.5), ("60", 60.0), ("61", 60.0), ("x", 0.5)])
def test_the_longest_segment_is_taken_within_reason(text: str, seconds: float) -> None:
    assert playlist(f"#EXT-X-TARGETDURATION:{text}").target_seconds == seconds
    assert playlist().target_seconds == 6.0


def test_what_one_segment_has_is_not_the_next_ones() -> None:
    first, second = playlist(
        "#EXT-X-BYTERANGE:100@50", "#EXTINF:3,", "a.ts", "b.ts",
    ).segments  # fmt: skip
    assert (first.byte_range, first.seconds) == ((50, 100), 3.0)
    assert (second.byte_range, second.seconds) == (None, 0.0)


def test_byte_ranges_go_on_where_the_one_before_ended() -> None:
    found = playlist(
        '#EXT-X-MAP:URI="i.mp4",BYTERANGE="30"', "#EXT-X-BYTERANGE:100@50", "a.mp4", "#EXT-X-BYTERANGE:10", "a.mp4",
        "#EXT-X-BYTERANGE:20", "a.mp4",
    ).segments  # fmt: skip
    assert [one.byte_range for one in found] == [(50, 100), (150, 10), (160, 20)]
    assert {(one.header, one.header_range) for one in found} == {("https://host/live/i.mp4", (0, 30))}
    assert segment('#EXT-X-MAP:URI="i.mp4",BYTERANGE="30@7"').header_range == (7, 30)
    assert segment('#EXT-X-MAP:URI="i.mp4"').header_range is None


def test_segments_that_are_missing_count_and_are_named() -> None:
    found = playlist("#EXT-X-MEDIA-SEQUENCE:5", "#EXT-X-GAP", "a.ts", "b.ts")
    assert ([one.sequence for one in found.segments], found.missing) == ([6], (5,))


def test_keys_hold_until_the_next_ones() -> None:
    key = '#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0x1F'
    encrypted = Key("https://host/live/k", bytes(15) + b"\x1f")
    found = playlist(
        "a.ts", key, '#EXT-X-MAP:URI="i"', "b.ts", "c.ts", "#EXT-X-KEY:METHOD=NONE", "d.ts",
        '#EXT-X-KEY:METHOD=AES-128,URI="l"', "e.ts",
    ).segments  # fmt: skip
    assert [one.key for one in found] == [None, encrypted, encrypted, None, Key("https://host/live/l")]
    assert found[1].header_key == encrypted
    both = segment(key, '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="x",KEYFORMAT="com.apple"')
    assert both.key == encrypted, "the key that is sent as it is counts"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (['#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k"'], "encrypted with SAMPLE-AES; only AES-128"),
        (['#EXT-X-KEY:METHOD=AES-128,URI="k",KEYFORMAT="com.widevine"'], "AES-128, com.widevine; only AES-128"),
        (['#EXT-X-KEY:METHOD=AES-128,URI="k",IV=1F'], "initialisation vector '1F'"),
        ([f'#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0x{"1" * 33}'], "initialisation vector"),
        (['#EXT-X-KEY:METHOD=AES-128,URI="file:///etc/passwd"'], "not HTTP"),
        (['#EXT-X-MAP:URI="file:///etc/passwd"'], "refers to 'file:///etc/passwd'"),
        (["file:///etc/passwd"], "not HTTP"),
        (['#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="g",URI="ftp://x"'], "not HTTP"),
    ],
)
def test_what_cannot_be_followed_is_refused(lines: list[str], said: str) -> None:
    with pytest.raises(MediaError, match=rf"list\.m3u8: .*{said}"):
        playlist(*lines, "a.ts")


@pytest.mark.parametrize("text", ["", "#EXTM3U8", "<html>", "#EXTINF:1,\n#EXTM3U"])
def test_what_is_no_playlist_is_refused(text: str) -> None:
    with pytest.raises(MediaError, match="its first line is not #EXTM3U"):
        parse_playlist(text, URL)
    assert parse_playlist("\ufeff\n  #EXTM3U  \n", URL).segments == ()


VARIANTS = (
    '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="g",NAME="one",URI="1.m3u8"',
    '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="g",NAME="two",DEFAULT=YES,URI="2.m3u8"',
    '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="h",NAME="own"',
    '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="g",NAME="no",URI="3.m3u8"',
    '#EXT-X-STREAM-INF:BANDWIDTH=3000,RESOLUTION=1280x720,AUDIO="g"', "720.m3u8",
    '#EXT-X-STREAM-INF:BANDWIDTH=9000,RESOLUTION=1920x1080,AUDIO="h"', "1080.m3u8",
    "#EXT-X-STREAM-INF:BANDWIDTH=1000", "sound.m3u8",
    "#EXT-X-STREAM-INF:BANDWIDTH=2000,RESOLUTION=1280x720", "small.m3u8",
)  # fmt: skip


@pytest.mark.parametrize(
    ("quality", "name"),
    [("best", "1080"), ("lowest", "sound"), ("720p", "720"), ("1080p", "1080"), ("1079p", "720"), ("480p", "sound"),
     ("2160", "1080")],
)  # fmt: skip
def test_the_quality_that_was_asked_for(quality: str, name: str) -> None:
    assert choose_variant(playlist(*VARIANTS), quality).url == f"https://host/live/{name}.m3u8"


def test_the_sound_that_was_asked_for() -> None:
    found = playlist(*VARIANTS)
    first, second, alone, _ = found.variants
    assert [(one.bits, one.height, one.sound) for one in found.variants] == [
        (3000, 720, "g"), (9000, 1080, "h"), (1000, None, None), (2000, 720, None),
    ]  # fmt: skip
    assert choose_sound(found, first, None) == "https://host/live/2.m3u8", "the default one"
    assert choose_sound(found, first, 0) == "https://host/live/1.m3u8"
    assert choose_sound(found, first, 1) == "https://host/live/2.m3u8"
    assert choose_sound(found, second, None) is None
    assert choose_sound(found, alone, None) is None
    for number in (-1, 2):
        with pytest.raises(MediaError, match=f"has the sounds 0 one, 1 two; got audio_stream {number}"):
            choose_sound(found, first, number)


def test_encrypted_bytes_come_back_or_the_key_does_not_fit() -> None:
    ciphers = pytest.importorskip("cryptography.hazmat.primitives.ciphers", reason="pip install 'cliplab[clips]'")
    key, iv = b"k" * 16, b"i" * 16

    def encrypt(padded: bytes) -> bytes:
        made = ciphers.Cipher(ciphers.algorithms.AES(key), ciphers.modes.CBC(iv)).encryptor()
        return bytes(made.update(padded) + made.finalize())

    for data in (b"", b"x" * 15, b"x" * 16, b"x" * 31):
        padding = 16 - len(data) % 16
        assert decrypt(encrypt(data + bytes([padding]) * padding), key, iv, "a.ts") == data
    for padded in (b"x" * 15 + b"\0", b"x" * 15 + b"\x11", b"x" * 14 + b"\x01\x02"):
        with pytest.raises(MediaError, match=r"a\.ts: cannot be decrypted: the key is wrong"):
            decrypt(encrypt(padded), key, iv, "a.ts")
    for sent in (b"", b"x" * 15):
        with pytest.raises(MediaError, match=f"{len(sent)} bytes are not a multiple of 16"):
            decrypt(sent, key, iv, "a.ts")


def chat(tmp_path: Path, *rows: Any, began: datetime | None = None) -> Any:
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return read_chat(path, began)


@pytest.mark.parametrize("name", ["seconds", "offset", "time", "content_offset_seconds", "timestamp", "created_at"])
@pytest.mark.parametrize("value", [12.5, "12.5"])
def test_each_name_of_a_time_is_read(name: str, value: Any, tmp_path: Path) -> None:
    assert chat(tmp_path, {name: value, "text": "hi"}) == ([(12.5, 1.0)], [])


@pytest.mark.parametrize("name", ["text", "message", "body", "content"])
@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("hello", 1.0),
        ("wow", 2.0),
        ("WOW", 2.0),
        ("!!", 2.0),
        ("!", 1.0),
        ("GOALS", 2.0),
        ("wows", 1.0),
        ("poggers", 2.0),
    ],
)
def test_excited_messages_count_twice(name: str, text: str, weight: float, tmp_path: Path) -> None:
    assert chat(tmp_path, {"seconds": 1, name: text})[0] == [(1.0, weight)]


def test_messages_are_put_in_order_and_other_lines_are_counted(tmp_path: Path) -> None:
    week = 7 * 86_400
    rows = [{"seconds": 9}, {"seconds": 3}, "x", "[1]", {"text": "a"}, {"seconds": True}, {"seconds": -1}, "",
            {"seconds": "x"}, {"seconds": week}, {"seconds": week + 1}]  # fmt: skip
    found, notes = chat(tmp_path, *rows)
    assert [seconds for seconds, _ in found] == [3.0, 9.0, float(week)]
    assert notes == ["6 of 10 lines of the chat are not messages and are ignored"]
    with pytest.raises(DatasetError, match=r"chat\.jsonl: none of its 2 lines is a chat message"):
        chat(tmp_path, "x", "", {"text": "a"})


def test_clock_times_count_from_the_start_of_the_recording(tmp_path: Path) -> None:
    rows = [{"time": 1.7e9 + 5}, {"time": 1.7e9}, {"time": (1.7e9 + 9) * 1000}]
    found, notes = chat(tmp_path, *rows)
    assert [seconds for seconds, _ in found] == pytest.approx([0.0, 5.0, 9.0])
    assert "clock times" in notes[0]
    found, notes = chat(tmp_path, *rows, began=datetime.fromtimestamp(1.7e9 - 10, UTC))
    assert ([seconds for seconds, _ in found], notes) == (pytest.approx([10.0, 15.0, 19.0]), [])
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert chat(tmp_path, {"created_at": moment.isoformat()}, began=moment)[0] == [(0.0, 1.0)]


def test_the_rate_of_a_chat_tells_of_what_was_some_seconds_before() -> None:
    rate = chat_rate([(DELAY_SECONDS + 10.0, 1.0), (DELAY_SECONDS + 10.0, 2.0), (math.inf, 1.0), (1.0, 1.0)], 300)
    place = round(10.0 / CELL_SECONDS)
    assert rate.max() == pytest.approx(math.log1p(3.0))
    around = np.flatnonzero(rate > 0)
    assert len(around) == round(5.0 / CELL_SECONDS)
    assert abs(around.mean() - place) <= 1
    assert rate.dtype == np.float32


def test_a_chat_is_entered_as_far_as_the_recording_is_known() -> None:
    cells, feed = Cells(60.0), ChatFeed([(10.0, 1.0)])
    feed.feed(cells, 30)
    assert cells.end == 30
    feed.feed(cells, 20)
    feed.feed(cells, 300)
    assert cells.end == 300
    assert np.isfinite(cells.rows(0, 300)).any(axis=1).all(), "0 after the last message"


def peak(seconds: float, event: str = "motion") -> Peak:
    return Peak(seconds, "video", event, 0.75, {"motion": 0.5})


def test_a_clip_lies_around_its_peak_by_the_shares_of_its_event() -> None:
    options = HighlightOptions(clip_seconds=20.0, before_shares={"motion": 0.25, "cheer": 1.0}, snap_seconds=0.0)
    assert planned(peak(100.0), options) == (95.0, 115.0)
    assert planned(peak(100.0, "cheer"), options) == (80.0, 100.0)
    found = with_edges(peak(100.0), Cells(), [], options, None)
    assert (found.start, found.end, found.peak, found.kind, found.event) == (95.0, 115.0, 100.0, "video", "motion")
    assert (found.score, found.stage1, found.cues) == (0.75, 0.75, {"motion": 0.5})


@pytest.mark.parametrize(
    ("seconds", "end", "edges"),
    [(2.0, None, (0.0, 20.0)), (100.0, 110.0, (90.0, 110.0)), (100.0, 115.0, (95.0, 115.0)), (5.0, 12.0, (0.0, 12.0)),
     (2.0, 15.0, (0.0, 15.0))],
)  # fmt: skip
def test_a_clip_stays_within_its_source(seconds: float, end: float | None, edges: tuple[float, float]) -> None:
    options = HighlightOptions(clip_seconds=20.0, before_shares={"motion": 0.25}, snap_seconds=0.0)
    found = with_edges(peak(seconds), Cells(), [], options, end)
    assert (found.start, found.end) == edges


def test_edges_move_to_the_nearest_cut_within_reach() -> None:
    options = HighlightOptions(clip_seconds=20.0, before_shares={"motion": 0.25}, snap_seconds=1.5)
    for cuts, edges in (
        ([93.4, 94.6, 96.4, 116.5], (94.6, 116.5)), ([93.49, 116.51], (95.0, 115.0)), ([96.5, 113.5], (96.5, 113.5)),
        ([], (95.0, 115.0)),
    ):  # fmt: skip
        found = with_edges(peak(100.0), Cells(), cuts, options, None)
        assert (found.start, found.end) == edges, cuts


def test_edges_move_to_a_deep_pause_where_there_is_no_cut() -> None:
    options = HighlightOptions(clip_seconds=20.0, before_shares={"motion": 0.25}, snap_seconds=1.5)
    for depth, start in ((9.0, 94.2), (8.1, 94.2), (7.9, 95.0)):
        level = np.full(1300, -20.0, np.float32)
        level[round(94.1 / CELL_SECONDS) : round(94.3 / CELL_SECONDS)] -= depth
        cells = Cells()
        cells.put("level", 0, level)
        found = with_edges(peak(100.0), cells, [], options, None)
        assert found.start == pytest.approx(start, abs=0.051), depth
        assert found.end == 115.0


def test_cells_keep_the_larger_value_and_the_last_minutes() -> None:
    cells = Cells(10.0)
    cells.put("level", 5, np.array([1.0, 5.0], np.float32))
    cells.put("level", 6, np.array([2.0, 3.0], np.float32))
    column = next(one for one in cells.rows(4, 9).T if np.isfinite(one).any())
    np.testing.assert_array_equal(column, [np.nan, 1.0, 5.0, 3.0, np.nan])
    assert (cells.first, cells.end) == (0, 8)
    cells.put("level", 100_000, np.ones(3, np.float32))
    assert cells.end == 100_003
    assert 100_003 - cells.first <= 2 * round(10.0 / CELL_SECONDS)
    assert np.isnan(cells.rows(0, 10)).all()
    cells.put("level", 0, np.ones(3, np.float32))
    assert np.isnan(cells.rows(0, 10)).all(), "what lies before the window is left out"
