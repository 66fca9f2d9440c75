"""A library from its labels to its reel, as docs/guides/library.md goes: files cut from half of the sample clips in
several containers and sizes, the odd files of the wild among them, and some that are not videos.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from command_line import cli
from places import ROOT
from reel_helpers import pictures

from adapters.media import open_video

pytest.importorskip("tf_keras", reason="pip install 'cliplab[train]'")

SAMPLES = ROOT / "samples" / "clips"
CUTS = 4  # of each sample clip, one after the other: all of other frames
FPS = 15
FORMS = (".mp4", ".mkv", ".mov", ".webm", ".avi")
SIZES = ((160, 90), (128, 72), (192, 108))
NO_VIDEOS = {"empty.mp4": b"", "notes.mp4": b"battery 3 is weak\n", "cut short.mov": b"\0\0\0\x20ftypqt  " + bytes(400)}


def told(*words: object, code: int = 0) -> Any:
    result = cli(*words, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def write_cut(path: Path, frames: list[np.ndarray[Any, Any]]) -> None:
    codec = "libvpx" if path.suffix == ".webm" else "libx264"
    options = {"deadline": "realtime", "cpu-used": "8"} if codec == "libvpx" else {"preset": "ultrafast", "crf": "20"}
    with av.open(os.fsdecode(b"file:" + os.fsencode(path)), "w") as container:
        stream: Any = container.add_stream(codec, rate=FPS, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "yuv420p"
        stream.bit_rate = 1_000_000
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def library(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders by day. What a file shows is in its name: ad or content, or what is odd about it."""
    root = tmp_path_factory.mktemp("library")
    for number, clip in enumerate(sorted(SAMPLES.glob("*.mp4"))[::2]):
        width, height = SIZES[number % len(SIZES)]
        with open_video(clip) as video:
            frames = [frame.copy() for _, frame in video.frames(width=width, height=height, aspect="stretch", fps=FPS)]
        length = len(frames) // CUTS
        for cut in range(CUTS):
            day = root / f"2026-06-{1 + (number + cut) % 20:02}" / ("card 2" if cut == 3 else "")
            day.mkdir(parents=True, exist_ok=True)
            name = f"{clip.stem} {cut}{FORMS[(number + cut) % len(FORMS)]}"
            write_cut(day / name, frames[cut * length : (cut + 1) * length])
    odd = root / "odd ones"
    shutil.copytree(shared / "media" / "odd", odd)
    for name, data in NO_VIDEOS.items():
        (odd / name).write_bytes(data)
    (odd / "again").symlink_to(root)
    os.rename(odd / "tc_animated.gif", os.fsencode(odd) + b"/two\nlines \xff.gif")
    return root


@pytest.fixture(scope="module")
def walk(library: Path, lite0_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Every step once, in a folder of its own, with what each of them said."""
    folder = tmp_path_factory.mktemp("walk")
    clips = [clip for clip in sorted(SAMPLES.glob("*.mp4")) if not clip.name.startswith("test")]
    labels = {name: [str(clip) for clip in clips if f"_{name}_" in clip.name] for name in ("ad", "content")}
    (folder / "labels.json").write_text(json.dumps(labels))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        said = {"prepare": told("dataset", "prepare", "labels.json", "prepared")}
        keys = ("keep_best=val_accuracy", "augment_views=0", "early_stopping_patience=null")
        settings = [word for key in keys for word in ("--set", key)]
        train = ("train", "ads_base", "prepared", "--output-dir", "ads", "--epochs", 15)
        said["train"] = told(*train, *settings)
        said["score"] = told("score", SAMPLES / "test_ad_02.mp4", "ads")
        said["scan"] = told("scan", library, "ads", "--window-seconds", 0.5, code=1)
        said["highlights"] = json.loads(Path("highlights.json").read_text())
        said["again"] = told(
            "scan", library, "ads", "--output", "best.json", "--store", "scan.db", "--min-score", 0.9, code=1
        )
        said["reel"] = told("reel", "highlights.json", "reel.mp4", "--top", 12, "--per-clip-seconds", 0.4)
        yield {**said, "folder": folder}


def test_prepared_and_trained(walk: dict[str, Any]) -> None:
    assert walk["prepare"]["clips"] == {"ad": 27, "content": 27}
    assert walk["prepare"]["splits"] == {"train": 44, "validation": 10}
    report = walk["train"]
    assert report["skipped"] == []
    reached = [log["val_accuracy"] for log in report["epochs"]]
    assert reached[report["best_epoch"]] == max(reached) >= 0.9
    assert 0 <= walk["score"]["score"] <= 1


def test_the_scan_finds_ads(walk: dict[str, Any], library: Path) -> None:
    found = walk["highlights"]
    files = [path for path in library.rglob("*") if path.is_file() and not path.is_symlink()]
    assert found["total_scanned"] == len(files) > 150
    assert found["failed"] == len(NO_VIDEOS) == len(found["failures"])
    assert {Path(entry["path"]).name for entry in found["failures"]} == set(NO_VIDEOS)
    names = [Path(row["path"]).name for row in found["highlights"]]
    # Those whose source the model has not seen.
    unseen = [name for name in names if name.startswith("test_")]
    assert len(unseen) >= 10
    assert sum("_ad_" in name for name in unseen) >= 0.8 * len(unseen)
    seen = [name for name in names if name.startswith(("train_", "validation_"))]
    assert sum("_ad_" in name for name in seen) >= 0.9 * len(seen) > 30
    assert len({row["path"] for row in found["highlights"]}) == len(names), "the loop of links is gone round once"


def test_another_threshold_decodes_nothing(walk: dict[str, Any]) -> None:
    again = json.loads((walk["folder"] / "best.json").read_text())
    assert walk["again"]["scored"] == 0
    expected = [row for row in walk["highlights"]["highlights"] if row["score"] >= 0.9]
    assert [(row["path"], row["score"]) for row in again["highlights"]] == [(r["path"], r["score"]) for r in expected]


def test_every_frame_of_the_reel_is_its_sources(walk: dict[str, Any]) -> None:
    report, fps = walk["reel"], Fraction(FPS)
    clips = report["clips"]
    assert len(clips) == 12 == len({clip["path"] for clip in clips})
    assert [clip["score"] for clip in clips] == sorted((clip["score"] for clip in clips), reverse=True)
    shown = pictures(walk["folder"] / "reel.mp4")
    np.testing.assert_allclose([seconds for seconds, _ in shown], np.arange(len(shown)) / float(fps), atol=1e-4)
    assert len(shown) == round(report["seconds"] * fps)
    starts = [round(clip["at"] * fps) for clip in clips]
    ends = [*starts[1:], len(shown)]
    for clip, first, last in zip(clips, starts, ends, strict=True):
        with open_video(clip["path"]) as video:
            source = [(seconds, picture.copy()) for seconds, picture in video.frames()]
        times = np.array([seconds for seconds, _ in source])
        for index in range(first, last):
            middle = clip["start"] + (index - first + 0.5) / float(fps)
            wanted = source[max(int(np.searchsorted(times, middle, side="right")) - 1, 0)][1]
            differences = [difference(shown[index][1], picture) for _, picture in source]
            own = difference(shown[index][1], wanted)
            assert own < 8, (clip["path"], index)
            # Nothing else of that source looks more like it, but for coding's losses where little moves.
            assert own <= min(differences) + 1.5, (clip["path"], index)


def difference(picture: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """Mean difference in levels of a picture of the reel and one of a source, scaled to it."""
    import cv2

    height, width = picture.shape[:2]
    scaled = cv2.resize(other, (width, height), interpolation=cv2.INTER_AREA)
    return float(np.abs(scaled.astype(np.float64) - picture).mean())
