"""Live streams that stall, lose their server, or lose their sound: what was received stays, and it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from highlight_files import split_recording, write_recording
from hls_files import hls_server

from adapters.media import open_video
from cliplab.detect import HighlightOptions, follow_highlights, generate_clips

SECONDS = 4.0
OPTIONS = HighlightOptions(clip_seconds=6.0, min_gap_seconds=8.0, min_score=0.4)


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven segments with sound and a roar, and six without sound in which everything moves once, on the same clock."""
    folder = tmp_path_factory.mktemp("segments")
    heard = write_recording(folder / "heard.ts", 7 * SECONDS, [(14.0, "roar")], start=1.0, gop=20)
    split_recording(heard, SECONDS, folder, 0)
    moved = [(12.0, "rush")]
    silent = write_recording(folder / "silent.ts", 6 * SECONDS, moved, start=1.0 + 7 * SECONDS, gop=20, sound=False)
    split_recording(silent, SECONDS, folder, 7)
    return folder


def playlist(first: int, shown: int, ended: bool = False) -> bytes:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:0", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
    lines += [line for number in range(first, shown) for line in (f"#EXTINF:{SECONDS},", f"{number}.ts")]
    return "\n".join(lines + ["#EXT-X-ENDLIST"] * ended).encode()


def growing(until: int, then: Any = None) -> Any:
    """Answers of a server whose playlist grows with each look, and then is as it is, or fails."""
    looks = [2]

    def answer(name: str, query: str, headers: Any) -> Any:
        if name != "live.m3u8":
            return None
        looks[0] += 1
        if looks[0] > until and then is not None:
            return then
        shown = min(looks[0], until)
        return playlist(max(shown - 4, 0), shown)

    return answer


@pytest.mark.parametrize(("then", "word"), [(None, "no segment for 0.5 s"), (503, "503")], ids=["stalls", "is gone"])
def test_a_stream_that_stops_keeps_what_was_found(segments: Path, then: Any, word: str) -> None:
    ready = list[float]()
    with hls_server(segments, answer=growing(7, then)) as server:
        report = follow_highlights(
            f"{server.url}/live.m3u8",
            OPTIONS,
            stall_seconds=0.5,
            on_ready=lambda one: ready.append(one.candidate.peak),
        )
    assert report.notes[0] == "7 segments were read, 0 were lost"
    assert any(word in note for note in report.notes)
    assert any("treated as ended" in note for note in report.notes)
    assert report.duration_seconds == pytest.approx(7 * SECONDS, abs=0.3)
    (one,) = report.candidates
    assert one.start <= 15.0 <= one.end
    assert ready == [one.peak]


def test_a_stream_that_comes_back_goes_on(segments: Path) -> None:
    looks = [0]

    def answer(name: str, query: str, headers: Any) -> Any:
        if name != "live.m3u8":
            return None
        looks[0] += 1
        return 500 if 3 <= looks[0] <= 5 else playlist(0, 7, ended=looks[0] > 5) if looks[0] > 5 else playlist(0, 3)

    with hls_server(segments, answer=answer) as server:
        report = follow_highlights(f"{server.url}/live.m3u8", OPTIONS, stall_seconds=30.0)
    assert report.notes[0] == "7 segments were read, 0 were lost"
    assert sum("Waiting for it" in note for note in report.notes) == 1, "said once, not with each try"
    assert len(report.candidates) == 1


def test_a_stream_that_loses_its_sound_goes_on_with_its_picture(segments: Path, tmp_path: Path) -> None:
    def answer(name: str, query: str, headers: Any) -> Any:
        return playlist(0, 13, ended=True) if name == "live.m3u8" else None

    with hls_server(segments, answer=answer) as server:
        report = generate_clips(f"{server.url}/live.m3u8", tmp_path / "out", database=None, options=OPTIONS)
    assert report.notes[0] == "13 segments were read, 0 were lost"
    assert any("changes its size, codec or sound" in note for note in report.notes)
    assert sum("there is no sound" in note for note in report.notes) == 1
    assert any("there is no sound" in note and "from 28 s on" in note for note in report.notes)
    heard, *_, seen = report.clips
    assert (heard.state, seen.state) == ("made", "made")
    assert heard.start <= 15.0 <= heard.end
    assert seen.start <= 7 * SECONDS + 14.0 <= seen.end
    with open_video(seen.path) as video:
        assert video.info.duration_seconds == pytest.approx(seen.end - seen.start, abs=0.6)
