"""`cliplab extract`: frames of videos and live streams as pictures, with their times in names and in an index."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from adapters.errors import AdapterError, ConfigError, StorageError, describe_failure
from adapters.media import LiveVideo, check_source, is_live, open_video, require_footage
from adapters.records import UInt8Array
from adapters.system import file_lock, storage_error
from cliplab.datasets.distinct import DistinctPictures, picture_hash
from cliplab.datasets.frame_index import INDEX_NAME, FrameEntry, index_line, index_lines, parse_entry
from cliplab.library import find_videos, fingerprint, printable

JPEG_QUALITY = 95
MAX_FPS = 1000.0  # names have milliseconds
# path, seconds of it done, its length in seconds or None where unknown, sources done, sources in all
OnVideoProgress = Callable[[str, float, float | None, int, int], object]


@dataclass
class ExtractReport:
    """What was extracted.

    Attributes:
        output: The folder of the pictures.
        index: The index of all pictures in it.
        sources: Sources that were read to their end, or were finished before.
        frames: Pictures that this call wrote.
        existing: Pictures that were already there.
        alike: Frames that were dropped since a picture that is nearly identical was kept.
        errors: A sentence for each source that could not be read, or not to its end.
    """

    output: str
    index: str
    sources: int = 0
    frames: int = 0
    existing: int = 0
    alike: int = 0
    errors: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return dict(vars(self))


def extract(
    sources: Sequence[str | Path],
    output_dir: str | Path,
    *,
    fps: float = 1.0,
    distinct: bool = False,
    seconds: float | None = None,
    on_progress: OnVideoProgress | None = None,
    on_note: Callable[[str], object] | None = None,
) -> ExtractReport:
    """Write frames as ``<output_dir>/<video>-<digest>/000012.500.jpg``, named by their seconds, and list them.

    The index, frames.jsonl, has a line for each picture: file, source, seconds, width, height and perceptual hash.
    If interrupted, call it again to resume: a source that is finished is not decoded again. A
    live source gets a folder for each call.

    Args:
        sources: Video files, folders, glob patterns, devices, URLs that FFmpeg opens (an HLS playlist by its .m3u8),
            or ``-`` for stdin.
        output_dir: The folder of the pictures.
        fps: Frames per second of video, above 0 and up to 1000.
        distinct: Leave out a frame where a picture that was kept is nearly identical: at most ALIKE_BITS of the 64
            bits of their difference hashes differ, and their mean colours by at most ALIKE_LEVELS levels.
        seconds: Stop each live source after this many seconds; None: at its end.
        on_progress: Called with source, seconds done, length in seconds (None if unknown), sources done, and sources.
        on_note: Called with a sentence about stalls and damage of live sources.

    Raises:
        ConfigError: A value is not allowed, or there is no source.
        StorageError: A picture cannot be written, or another process extracts into the folder.
    """
    if not 0 < fps <= MAX_FPS:
        raise ConfigError(f"fps must be frames per second above 0 and at most {MAX_FPS:g}, got {fps!r}")
    if seconds is not None and not seconds > 0:
        raise ConfigError(f"seconds must be above 0, got {seconds!r}")
    live = [str(one) for one in sources if is_live(str(one))]
    listed = [*find_videos(one for one in sources if not is_live(str(one))), *live]
    if not listed:
        raise ConfigError("no source was given. Give video files, folders or a stream")
    root = Path(os.path.abspath(output_dir))
    report = ExtractReport(str(root), str(root / INDEX_NAME))
    note, progress = on_note or (lambda text: None), on_progress or (lambda *values: None)
    with _opened(root) as output:
        run = _Run(output, fps, distinct, seconds, report)
        for number, source in enumerate(listed):

            def shown(done: float, length: float | None, source: str = source, number: int = number) -> None:
                progress(source, done, length, number, len(listed))

            shown(0.0, None)
            try:
                run.live(source, note, shown) if source in live else run.file(source, shown)
                report.sources += 1
            except StorageError:  # of the run, not of this source
                raise
            except Exception as error:
                report.errors.append(describe_failure(printable(source), error))
        progress(listed[-1], 0.0, None, len(listed), len(listed))
    return report


# The output ---------------------------------------------------------------------------------------------------------


Settings = tuple[str, float, bool]  # folder, frames per second, whether near-identical frames are left out


class _Output:
    """The folder of the pictures and its index, which is held by one process.

    Attributes:
        root: The folder.
        names: The pictures that exist.
        reached: The time of the last picture that was written with these settings.
        finished: Settings with which a source was read to its end, and whose pictures all exist.
        kept: The pictures by their look.
    """

    def __init__(self, root: Path, index: IO[bytes]) -> None:
        self.root, self._index = root, index
        self.names: set[str] = set()
        self.reached: dict[Settings, float] = {}
        self.finished: set[Settings] = set()
        self.kept = DistinctPictures()
        self._present: dict[str, Settings] = {}  # of each folder, the settings of the last run
        self._read()

    def _read(self) -> None:
        incomplete = set()
        finished: set[Settings] = set()
        for line in _lines(self.root / INDEX_NAME):
            if isinstance(line, FrameEntry):
                if os.path.exists(self.root / line.file):
                    self._know(line)
                else:
                    incomplete.add(_folder_of(line))
            elif line[0] == "started":
                self._present[line[1][0]] = line[1]
            else:
                finished.add(line[1])
        self.finished = {one for one in finished if one[0] not in incomplete}
        # Looked through from its start, for the pictures that are gone.
        self.reached = {one: seconds for one, seconds in self.reached.items() if one[0] not in incomplete}

    def _know(self, entry: FrameEntry) -> None:
        self.names.add(entry.file)
        self.kept.add(entry.hash)
        settings = self._present.get(_folder_of(entry))
        if settings is not None:
            self.reached[settings] = entry.seconds

    def note(self, state: str, settings: Settings) -> None:
        """Write that a source is ``started`` or ``finished``."""
        folder, fps, distinct = settings
        if state == "started":
            self._present[folder] = settings
        else:
            self.finished.add(settings)
        try:
            self._append(json.dumps({state: folder, "fps": fps, "distinct": distinct}).encode() + b"\n")
        except OSError as error:
            raise storage_error(self.root / INDEX_NAME, error) from error

    def write(self, entry: FrameEntry, picture: UInt8Array) -> None:
        """Write a picture, and then its line: a kill in between costs this picture, which is then written again."""
        target = self.root / entry.file
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            target.parent.mkdir(exist_ok=True)
            with temporary.open("wb") as file:
                file.write(_jpeg(picture))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
            self._append(index_line(entry))
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise storage_error(target, error) from error
        self._know(entry)

    def _append(self, line: bytes) -> None:
        self._index.write(line)
        self._index.flush()


@contextmanager
def _opened(root: Path) -> Iterator[_Output]:
    def busy(holder: str) -> StorageError:
        return StorageError(f"{root}: {holder} is extracting into it. Wait until it finishes, or use another folder.")

    try:
        root.mkdir(parents=True, exist_ok=True)
        with file_lock(root / ".extract.lock", busy=busy), (root / INDEX_NAME).open("a+b") as index:
            index.seek(0, os.SEEK_END)
            if index.tell():
                index.seek(-1, os.SEEK_END)
                if index.read(1) != b"\n":  # a line that a kill cut off
                    index.write(b"\n")
            yield _Output(root, index)
            os.fsync(index.fileno())
    except OSError as error:
        raise storage_error(root, error) from error


def _folder_of(entry: FrameEntry) -> str:
    return entry.file.partition("/")[0]


def _lines(path: Path) -> Iterator[FrameEntry | tuple[str, Settings]]:
    """Frames, and when sources were started and finished; what is not a whole line is passed over."""
    for line in index_lines(path):
        entry = parse_entry(line)
        if entry is not None:
            yield entry
            continue
        for state in ("started", "finished"):
            values = (line.get(state), line.get("fps"), line.get("distinct"))
            if isinstance(values[0], str) and isinstance(values[1], (int, float)) and isinstance(values[2], bool):
                yield state, (values[0], float(values[1]), values[2])


def _jpeg(picture: UInt8Array) -> bytes:
    import cv2

    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


# Sources ------------------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """One call: where to, how, and what came of it."""

    output: _Output
    fps: float
    distinct: bool
    seconds: float | None
    report: ExtractReport

    def file(self, source: str, shown: Callable[[float, float | None], None]) -> None:
        """The frames of a file, from where an earlier call stopped."""
        check_source(source)
        try:
            content = fingerprint(source, os.stat(source).st_size).hex()
        except OSError as error:
            raise AdapterError(f"{source}: cannot be read ({error.strerror}). Check the file and its disk.") from None
        folder = f"{_safe_stem(source)}-{content[:8]}"
        settings = (folder, self.fps, self.distinct)
        if settings in self.output.finished:
            self.report.existing += sum(name.startswith(f"{folder}/") for name in self.output.names)
            return
        with open_video(source) as video:
            length = video.info.duration_seconds
            require_footage(source, length or 0.0)
            # At a moment of the same grid, so that the frames are those of a run that was not interrupted.
            done = int(self.output.reached.get(settings, 0.0) * self.fps + 1e-6) / self.fps
            self.output.note("started", settings)
            start = done if done and (length is None or done < length) else None
            where = os.path.abspath(source)
            for seconds, picture in video.frames(fps=self.fps, start_seconds=start):
                self._take(folder, where, seconds, picture)
                shown(seconds, length)
        self.output.note("finished", settings)

    def live(self, source: str, note: Callable[[str], object], shown: Callable[[float, float | None], None]) -> None:
        """The frames of a live source as they come, in a folder of this call."""
        folder = f"{_safe_stem(source)}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        due = 0.0
        with LiveVideo(source, None, note) as video:
            for seconds, picture in video:
                if self.seconds is not None and seconds >= self.seconds:
                    break
                if seconds < due - 1e-6:
                    continue
                # The next moment of the grid that is not past: after a stall nothing is made up for.
                due = (int(seconds * self.fps + 1e-6) + 1) / self.fps
                self._take(folder, source, seconds, picture())
                shown(seconds, self.seconds)

    def _take(self, folder: str, source: str, seconds: float, picture: UInt8Array) -> None:
        name = f"{folder}/{seconds:010.3f}.jpg"
        if name in self.output.names:
            self.report.existing += 1
            return
        hash = picture_hash(picture)
        if self.distinct and self.output.kept.has_like(hash):
            self.report.alike += 1
            return
        height, width = picture.shape[:2]
        self.output.write(FrameEntry(name, source, float(seconds), width, height, hash), picture)
        self.report.frames += 1


def _safe_stem(source: str) -> str:
    """The name of a source as that of a folder: letters, digits and a few marks, not hidden, not too long."""
    base = re.split(r"[?#]", source)[0].rstrip("/") if is_live(source) else source
    stem = Path(base).stem if base != "-" else "stdin"
    kept = "".join(mark if mark.isalnum() or mark in " ._-+()" else "_" for mark in stem).strip(" .")
    return kept.encode("utf-8", "replace")[:80].decode("utf-8", "ignore").strip(" .") or "video"
