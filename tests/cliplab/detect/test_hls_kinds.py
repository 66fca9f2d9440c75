"""HLS as it is sent: sound in playlists of its own, encryption, fragmented MP4, byte ranges, qualities, windows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from highlight_files import write_recording
from hls_files import encrypt, entries, hls_server, write_hls

from adapters.errors import ConfigError, MediaError
from cliplab.detect import HighlightOptions, find_highlights, follow_highlights, generate_clips
from cliplab.detect.highlights.hls_playlist import choose_variant, parse_playlist

SECONDS, PIECE = 32.0, 4.0
ROAR, RUSH = 13.0, 23.0
OPTIONS = HighlightOptions(clip_seconds=8.0, min_gap_seconds=5.0, min_score=0.5)
KEY, IV = bytes(range(16)), bytes(range(100, 116))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two halves of a stream, whose clocks begin at 1 s and at 500 s."""
    folder = tmp_path_factory.mktemp("recordings")
    return [
        write_recording(folder / "first.mp4", SECONDS / 2, [(ROAR, "roar")], start=1.0),
        write_recording(folder / "second.mp4", SECONDS / 2, [(RUSH - SECONDS / 2, "rush")], start=500.0),
    ]


@pytest.fixture(scope="module")
def divided(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures and sound as fragmented MP4 apart, of both halves; and both together as transport streams."""
    folder = tmp_path_factory.mktemp("divided")
    for number, path in enumerate(recordings):
        for kind in ("video", "audio"):
            options = {"hls_segment_type": "fmp4", "hls_fmp4_init_filename": f"{kind}{number}-head.mp4"}
            write_hls(path, folder / f"{kind}{number}.m3u8", kind, PIECE, **options)
        write_hls(path, folder / f"both{number}.m3u8", "both", PIECE)
        single = {"hls_flags": "single_file", "hls_segment_type": "fmp4"}
        write_hls(path, folder / f"ranges{number}.m3u8", "both", PIECE, **single)
    return folder


def _halves(folder: Path, kind: str) -> tuple[list[str], list[list[str]]]:
    """The playlist of both halves, with the discontinuity and the header between them."""
    first, second = (entries((folder / f"{kind}{number}.m3u8").read_text().splitlines()) for number in (0, 1))
    maps = [[line for line in head if line.startswith("#EXT-X-MAP")] for head, _ in (first, second)]
    head = [line for line in first[0] if not line.startswith("#EXT-X-MAP")]
    found = [list(lines) for lines in first[1] + second[1]]
    found[0] = [*maps[0], *found[0]]
    at = len(first[1])
    found[at] = ["#EXT-X-DISCONTINUITY", *maps[1], *found[at]]
    return head, found


def _recorded(head: list[str], found: list[list[str]]) -> bytes:
    return "\n".join([*head, *(line for lines in found for line in lines), "#EXT-X-ENDLIST"]).encode()


MASTER = b"""#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="s",NAME="Other",URI="none.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="s",NAME="Main",DEFAULT=YES,URI="audio.m3u8?token=a%20b"
#EXT-X-STREAM-INF:BANDWIDTH=100,RESOLUTION=48x32,AUDIO="s"
low.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=900,RESOLUTION=96x64,AUDIO="s"
video.m3u8?token=a%20b
"""


def _check(report: object, segments: int) -> None:
    """Everything was read, and both highlights were found and cut with sound beside the picture."""
    assert report.notes[0] == f"{segments} segments were read, 0 were lost", report.notes  # type: ignore[attr-defined]
    clips = report.clips  # type: ignore[attr-defined]
    assert [one.kind for one in clips] == ["audio", "video"]
    for one, true in zip(clips, (ROAR + 1, RUSH + 2), strict=True):
        assert one.state == "made", one.error
        assert one.start < true < one.end
    with av.open(clips[0].path) as container:
        rate = container.streams.audio[0].rate
        loud = [abs(frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
    heard = np.flatnonzero(np.concatenate(loud) > 0.4)[0] / rate
    assert heard == pytest.approx(ROAR - clips[0].start, abs=0.15)


@pytest.mark.parametrize("live", [False, True])
def test_sound_in_a_playlist_of_its_own_is_heard(divided: Path, tmp_path: Path, live: bool) -> None:
    kinds = {name: _halves(divided, name) for name in ("video", "audio")}
    folder = tmp_path / "served"
    shutil.copytree(divided, folder)
    for name, parts in kinds.items():
        (folder / f"{name}.m3u8").write_bytes(_recorded(*parts))
    (folder / "master.m3u8").write_bytes(MASTER)
    windows = {f"{name}.m3u8": parts for name, parts in kinds.items()} if live else {}
    with hls_server(folder, windows) as server:
        report = generate_clips(f"{server.url}/master.m3u8", tmp_path / "out", database=None, options=OPTIONS)
        asked = [path for path, _ in server.asked]
    _check(report, len(kinds["video"][1]))
    assert "/video.m3u8?token=a%20b" in asked
    assert "/audio.m3u8?token=a%20b" in asked
    assert not any(path.startswith("/low") for path in asked)


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("iv", [None, IV])
def test_encrypted_streams_are_read(divided: Path, tmp_path: Path, iv: bytes | None, live: bool) -> None:
    pytest.importorskip("cryptography", reason="encrypted streams need the clips extra")
    head, found = _halves(divided, "both")
    folder = tmp_path / "served"
    folder.mkdir()
    for number, lines in enumerate(found):
        shutil.copyfile(divided / lines[-1], folder / f"{number}.ts")
        if number != 2:  # one segment between is not encrypted
            encrypt(folder / f"{number}.ts", KEY, iv or number.to_bytes(16, "big"))
        text = "" if iv is None else f",IV=0x{iv.hex()}"
        keyed = '#EXT-X-KEY:METHOD=AES-128,URI="keys/k.bin?a=1"' + text
        lines[:] = ["#EXT-X-KEY:METHOD=NONE" if number == 2 else keyed, *lines[:-1], f"{number}.ts"]
    (folder / "keys").mkdir()
    (folder / "keys" / "k.bin").write_bytes(KEY)
    (folder / "live.m3u8").write_bytes(_recorded(head, found))
    with hls_server(folder, {"live.m3u8": (head, found)} if live else {}) as server:
        report = generate_clips(f"{server.url}/live.m3u8", tmp_path / "out", database=None, options=OPTIONS)
        keys = [path for path, _ in server.asked if path.startswith("/keys")]
    _check(report, len(found))
    assert keys == ["/keys/k.bin?a=1"], "a key is asked for once"


@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_byte_ranges_of_one_file(divided: Path, tmp_path: Path, ignores_ranges: bool) -> None:
    head, found = _halves(divided, "ranges")
    folder = tmp_path / "served"
    shutil.copytree(divided, folder)
    (folder / "all.m3u8").write_bytes(_recorded(head, found))
    assert any("BYTERANGE" in line for lines in found for line in lines)
    with hls_server(folder, ignores_ranges=ignores_ranges) as server:
        report = generate_clips(f"{server.url}/all.m3u8", tmp_path / "out", database=None, options=OPTIONS)
    _check(report, len(found))


def test_redirects_and_headers(divided: Path, tmp_path: Path) -> None:
    head, found = _halves(divided, "both")
    (divided / "all.m3u8").write_bytes(_recorded(head, found))

    def answer(name: str, query: str, headers: object) -> bytes | int | str | None:
        if headers.get("X-Token") != "1":  # type: ignore[attr-defined]
            return 403
        if name == "go/all.m3u8":
            return "/moved/all.m3u8?q=1"
        if name.startswith("moved/"):
            return (divided / name.removeprefix("moved/")).read_bytes()
        return None

    options = HighlightOptions(**{**vars(OPTIONS), "headers": {"X-Token": "1"}})
    with hls_server(divided, answer=answer) as server:
        report = generate_clips(f"{server.url}/go/all.m3u8", tmp_path / "out", database=None, options=options)
    _check(report, len(found))


def test_the_picture_goes_on_without_sound(divided: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cliplab.detect.highlights.hls_joining._PATIENCE_SECONDS", 0.0)
    video, audio = _halves(divided, "video"), _halves(divided, "audio")
    folder = tmp_path / "served"
    shutil.copytree(divided, folder)
    (folder / "master.m3u8").write_bytes(MASTER)
    (folder / "audio.m3u8").write_bytes(_recorded(*audio).replace(b"#EXT-X-ENDLIST", b"").rpartition(b"#EXTINF")[0])
    with hls_server(folder, {"video.m3u8": video}) as server:
        report = find_highlights(f"{server.url}/master.m3u8", OPTIONS)
    assert report.notes[0] == f"{len(video[1])} segments were read, 0 were lost"
    assert any("sound is late or has ended" in note for note in report.notes)
    assert [one.kind for one in report.candidates] == ["audio", "video"]


def test_every_address_is_checked(divided: Path, tmp_path: Path) -> None:
    """Keys, headers, segments, sound and what redirects lead to: none is asked that must not be."""
    folder = tmp_path / "served"
    shutil.copytree(divided, folder)
    (folder / "master.m3u8").write_bytes(MASTER)
    (folder / "audio.m3u8").write_bytes(_recorded(*_halves(divided, "audio")))
    head, found = _halves(divided, "video")
    found[0].insert(0, '#EXT-X-KEY:METHOD=AES-128,URI="key.bin"')
    (folder / "video.m3u8").write_bytes(_recorded(head, found))
    asked = list[str]()

    def check(url: str) -> None:
        asked.append(url.rpartition("/")[2])
        if "forbidden" in url:
            raise ConfigError(f"{url}: may not be asked")

    def answer(name: str, query: str, headers: object) -> bytes | int | str | None:
        return "/forbidden.bin" if name == "key.bin" else None

    with hls_server(folder, answer=answer) as server:
        with pytest.raises(MediaError, match="may not be asked"):
            follow_highlights(f"{server.url}/master.m3u8", OPTIONS, check_url=check)
        assert not any("forbidden" in path for path, _ in server.asked)
    first = {"master.m3u8", "video.m3u8?token=a%20b", "audio.m3u8?token=a%20b", "key.bin", "forbidden.bin"}
    assert first <= set(asked)
    assert any("head.mp4" in name for name in asked) or any(".m4s" in name for name in asked)


@pytest.mark.parametrize(("key", "word"), [(b"short", "16"), (bytes(16), "key is wrong"), (None, "404")])
def test_keys_that_do_not_open(divided: Path, tmp_path: Path, key: bytes | None, word: str) -> None:
    pytest.importorskip("cryptography", reason="encrypted streams need the clips extra")
    head, found = _halves(divided, "both")
    folder = tmp_path / "served"
    folder.mkdir()
    shutil.copyfile(divided / found[0][-1], folder / "0.ts")
    encrypt(folder / "0.ts", KEY, bytes(16))
    if key is not None:
        (folder / "k").write_bytes(key)
    (folder / "a.m3u8").write_bytes(_recorded(head, [['#EXT-X-KEY:METHOD=AES-128,URI="k"', "#EXTINF:4,", "0.ts"]]))
    with hls_server(folder) as server, pytest.raises(MediaError, match=word):
        follow_highlights(f"{server.url}/a.m3u8", OPTIONS)


def test_a_clip_of_a_stream_can_be_made_longer_when_it_has_ended(divided: Path, tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    from cliplab.detect import clips_extend

    (divided / "all.m3u8").write_bytes(_recorded(*_halves(divided, "both")))
    out, database = tmp_path / "out", tmp_path / "clips.db"
    with hls_server(divided) as server:
        url = f"{server.url}/all.m3u8"
        report = generate_clips(url, out, database=database, options=OPTIONS, keep_around_seconds=6.0)
    first, second = report.clips
    longer = clips_extend(first.clip_id or 0, 4.0, 3.0, database)
    with av.open(longer.path) as container:
        assert container.duration / 1e6 == pytest.approx(first.end - first.start + 7.0, abs=0.3)
    path = out / "sources" / f"{Path(second.path).stem}.json"
    kept = json.loads(path.read_text())
    kept["candidates"][0]["start"] -= 4.0
    path.write_text(json.dumps(kept))
    again = generate_clips(path, out, database=None).clips[0]
    assert again.state == "made", again.error
    for wrong in (-1, 601):
        with pytest.raises(ConfigError, match="keep_around_seconds"):
            generate_clips(path, out, database=None, keep_around_seconds=wrong)
    for one in (out / "sources").iterdir():
        one.unlink()
    with pytest.raises(MediaError, match="nothing around it was kept"):
        clips_extend(second.clip_id or 0, 1.0, 0.0, database)


def test_qualities() -> None:
    text = MASTER.decode() + "#EXT-X-STREAM-INF:BANDWIDTH=5000,RESOLUTION=1920x1080\nbig.m3u8\n"
    playlist = parse_playlist(text, "http://h/m.m3u8")
    chosen = {quality: choose_variant(playlist, quality).url for quality in ("best", "lowest", "720p", "64", "16p")}
    low, middle, big = "http://h/low.m3u8", "http://h/video.m3u8?token=a%20b", "http://h/big.m3u8"
    assert chosen == {"best": big, "lowest": low, "720p": middle, "64": middle, "16p": low}
    for wrong in ("high", "0p", "-1", ""):
        with pytest.raises(ConfigError, match="quality"):
            HighlightOptions(quality=wrong)


@pytest.mark.parametrize(
    "line",
    [
        '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://a",KEYFORMAT="com.apple.streamingkeydelivery"',
        '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k"',
        '#EXT-X-KEY:METHOD=AES-128,URI="k",IV=12',
    ],
)
def test_other_encryption_is_refused_by_its_name(line: str) -> None:
    with pytest.raises(MediaError, match="encrypted"):
        parse_playlist(f"#EXTM3U\n{line}\n#EXTINF:2,\na.ts", "http://example.org/live.m3u8")


def test_segments_that_the_server_marks_as_missing() -> None:
    text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:2,\na.ts\n#EXT-X-GAP\n#EXTINF:2,\nb.ts\n#EXTINF:2,\nc.ts\n"
    playlist = parse_playlist(text, "http://h/live.m3u8")
    assert [one.sequence for one in playlist.segments] == [7, 9]
    assert playlist.missing == (8,)
