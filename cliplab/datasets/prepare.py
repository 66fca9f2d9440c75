"""`cliplab dataset prepare`: the frames of labelled clips in a folder for each class, and dataset.json beside them."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapters.base import OnProgress
from adapters.data import Dataset, Example, check_dataset, join_copies, read_dataset, split_dataset
from adapters.errors import ConfigError, DatasetError, MediaError, StorageError, describe_failure
from adapters.media import open_video, require_footage
from adapters.system import read_regular_text, storage_error, value_digest, write_json_atomic
from cliplab.outputs import require_new

FILE_NAME = "dataset.json"
FRACTIONS = (0.8, 0.2, 0.0)
JPEG_QUALITY = 95
MAX_LISTING_BYTES = 256 * 2**20


@dataclass(frozen=True)
class PrepareReport:
    """The content of a prepared dataset.

    Attributes:
        output: Its dataset.json.
        frames: Frames by label.
        clips: Clips by label.
        splits: Clips by split.
        decoded: Clips that this call decoded; the frames of the others existed.
        skipped: A sentence for each clip that could not be read and is not in dataset.json.
    """

    output: str
    frames: dict[str, int]
    clips: dict[str, int]
    splits: dict[str, int]
    decoded: int
    skipped: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The attributes as a JSON object."""
        return {**vars(self), "skipped": list(self.skipped)}


def dataset_prepare(
    data: str | Path,
    output: str | Path,
    *,
    fps: float | None = None,
    merge: bool = False,
    seed: int = 0,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> PrepareReport:
    """Write the frames of labelled clips as ``<output>/<label>/<clip>/000001.jpg`` and describe them in dataset.json.

    dataset.json is COCO-style JSON, so that it, or the folder, can be trained on: training reads the videos, and where
    they are gone, models of single frames are trained on the frames. Clips without a split are assigned 80/20 to train
    and validation, by video. A clip's frames appear all at once, and existing ones are not decoded again: if
    interrupted, call it again to resume.

    Args:
        data: labels.json, or a dataset in any other format.
        output: The folder of the class folders and dataset.json.
        fps: Frames per second of video, each as large as the video shows it; None is the rate of the dataset to merge
            with, and 1 without one.
        merge: Add to the dataset in output. Its clips keep their split; a clip that data contains too gets data's
            label.
        seed: Seed of the random order of the split.
        force: Replace the dataset in output; frames of clips that it does not contain any more are deleted.
        on_progress: Called with the stage's name, the clips done and the clips in all.

    Returns:
        Counts by label and split, and the clips that could not be read.

    Raises:
        ConfigError: Options exclude each other, or the rate is wrong.
        DatasetError: The data cannot be read, or none of its clips can.
        StorageError: The output exists, or cannot be written.
    """
    if merge and force:
        raise ConfigError("merge keeps the existing dataset, but force replaces it. Give only one of them")
    root = Path(os.path.abspath(output))
    listing = root / FILE_NAME
    if not merge:
        require_new(listing, force, "or --merge (merge=True) to add to it")
    dataset = read_dataset(data)
    known = _known(listing)
    if merge:
        if not listing.is_file():
            raise StorageError(
                f"{listing}: there is no dataset to merge with. Remove --merge, or give the folder of the dataset"
            )
        dataset = _merged(read_dataset(listing, format="coco"), dataset)
    fps = _rate(fps, known.fps if merge else None, listing)
    check_dataset(dataset, allow_missing=True)
    dataset = join_copies(dataset)
    split_dataset(dataset, FRACTIONS, seed)  # before any work: says which class has too few videos
    frames, decoded, skipped = _extract(dataset, root, fps, on_progress)
    good = tuple(item for item in dataset.examples if item.key() in frames)
    if not good:
        raise DatasetError(f"{data}: none of {len(dataset)} clips can be read; the first: {skipped[0]}")
    dataset = split_dataset(replace(dataset, examples=good), FRACTIONS, seed)
    # Where a clip could not be read, as when a disk is missing, its frames of before are worth keeping.
    gone = set() if skipped else known.folders - {folder for folder, _ in frames.values()}
    write_json_atomic(listing, _listing(dataset, root, fps, frames))
    for name in sorted(gone):
        shutil.rmtree(root / name, ignore_errors=True)
    return _report(dataset, listing, frames, decoded, skipped)


def _merged(old: Dataset, new: Dataset) -> Dataset:
    """Both, new clips last. A clip of both takes the new label and keeps its split, as does the video it is from."""
    before = {item.key(): item for item in old.examples}
    kept = {item.key(): item for item in new.examples}
    splits = {item.path: item.split for item in old.examples}
    groups = {item.path: item.group for item in old.examples}
    for key, item in kept.items():
        if item.path in splits:
            frames = before[key].frames if key in before else None
            kept[key] = replace(item, split=splits[item.path], group=groups[item.path], frames=frames)
    examples = [kept.pop(key, item) for key, item in before.items()]
    labels = tuple(dict.fromkeys((*old.labels, *new.labels)))
    return Dataset((*examples, *kept.values()), labels, new.root)


# Frames -------------------------------------------------------------------------------------------------------------

Frames = dict[str, tuple[str, list[str]]]  # a clip's key -> its folder and the names of its frames


def _extract(
    dataset: Dataset, root: Path, fps: float, on_progress: OnProgress | None
) -> tuple[Frames, int, tuple[str, ...]]:
    """Every clip's frames, how many clips were decoded for them, and why some could not be."""
    found: Frames = {}
    skipped: list[str] = []
    decoded = 0
    for number, item in enumerate(dataset.examples):
        if on_progress is not None:
            on_progress("extracting frames", number, len(dataset))
        try:
            name = _kept_folder(item, root) or _folder_of(item, fps)
            folder = root / name
            if not folder.is_dir():
                _write_frames(item, folder, fps)
                decoded += 1
        except (DatasetError, StorageError):  # of the run, not of this video
            raise
        except Exception as error:
            skipped.append(describe_failure(item.path, error))
            continue
        found[item.key()] = name, sorted(file.name for file in folder.glob("*.jpg"))
    if on_progress is not None:
        on_progress("extracting frames", len(dataset), len(dataset))
    return found, decoded, tuple(skipped)


def _kept_folder(item: Example, root: Path) -> str | None:
    """Of a clip that was prepared before and whose video has gone since: the folder of its frames, under its label."""
    if os.path.exists(item.path) or item.frames is None or item.frames.folder.parent.parent != root:
        return None
    name, there = f"{item.label}/{item.frames.folder.name}", item.frames.folder
    if there != root / name and there.is_dir() and not (root / name).exists():
        # Copied, not moved: until the new dataset.json is there the old one is right.
        temporary = (root / name).with_name(f".{there.name}.tmp")
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(there, temporary)
            os.rename(temporary, root / name)
        except OSError as error:
            raise storage_error(root / name, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return name if (root / name).is_dir() else None


def _folder_of(item: Example, fps: float) -> str:
    """``<label>/<video>-<digest>``: another for another stretch or rate, and for a file that has changed."""
    label = item.label
    if label.startswith(".") or any(mark in label for mark in "/\\\0"):
        raise DatasetError(
            f"{label!r} cannot be the name of a folder. Rename that class, or train on the labels directly"
        )
    try:
        state = item.path.stat()
    except OSError as error:
        raise MediaError(f"{item.path}: could not be read ({error.strerror})") from None
    digest = value_digest([item.key(), fps, state.st_size, state.st_mtime_ns])
    stem = item.path.stem.encode("utf-8", "replace")[:80].decode("utf-8", "ignore")
    return f"{label}/{stem}-{digest[:12]}"


def _write_frames(item: Example, folder: Path, fps: float) -> None:
    """All frames of a clip, or none: written beside and renamed."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
        temporary.mkdir(parents=True)
        with open_video(item.path) as video:
            length = video.info.duration_seconds or 0.0
            end = length if item.end_seconds is None else min(item.end_seconds, length)
            require_footage(item.path, end - (item.start_seconds or 0.0))
            shown = video.frames(fps=fps, start_seconds=item.start_seconds, end_seconds=item.end_seconds)
            number = 0
            for number, (_, frame) in enumerate(shown, 1):
                _write_synced(temporary / f"{number:06d}.jpg", _jpeg(frame))
        if not number:
            raise MediaError(f"{item.path}: it contains no frame. Correct its start and end, or leave it out")
        os.rename(temporary, folder)
    except OSError as error:
        raise storage_error(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _jpeg(frame: Any) -> bytes:
    """uint8 [H, W, 3] RGB as a JPEG file."""
    import cv2

    _, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


# dataset.json -------------------------------------------------------------------------------------------------------


def _listing(dataset: Dataset, root: Path, fps: float, frames: Frames) -> dict[str, Any]:
    """COCO-style, as ``export_dataset`` writes it, with the frames of each annotation."""
    ids = {path: number for number, path in enumerate(dict.fromkeys(item.path for item in dataset.examples), 1)}
    category = {label: number for number, label in enumerate(dataset.labels, 1)}
    annotations = []
    for number, item in enumerate(dataset.examples, 1):
        folder, names = frames[item.key()]
        annotations.append(
            {
                "id": number,
                "video_id": ids[item.path],
                "category_id": category[item.label],
                "start_seconds": item.start_seconds,
                "end_seconds": item.end_seconds,
                "split": item.split,
                "group": item.group,
                "source": item.source,
                "frames": [f"{folder}/{name}" for name in names],
            }
        )
    return {
        "info": {"description": "Labelled clips and their frames", "version": 1, "fps": fps},
        "videos": [{"id": number, "file_name": _relative(path, root)} for path, number in ids.items()],
        "categories": [{"id": number, "name": label} for label, number in category.items()],
        "annotations": annotations,
    }


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


@dataclass(frozen=True)
class _Known:
    """What dataset.json says now: the rate, and the folders of frames that it names."""

    fps: float | None
    folders: set[str]


def _known(listing: Path) -> _Known:
    """Of a file that was not written here, nothing is known; reading it as a dataset says what is wrong with it."""
    try:
        content = json.loads(read_regular_text(listing, MAX_LISTING_BYTES, DatasetError))
        fps = content["info"]["fps"]
        folders = {os.path.dirname(name) for entry in content["annotations"] for name in entry["frames"][:1]}
    except (DatasetError, OSError, ValueError, RecursionError, LookupError, TypeError):
        return _Known(None, set())
    # They are deleted when no longer used: none may lie elsewhere.
    return _Known(fps, {name for name in folders if len(Path(name).parts) == 2 and ".." not in Path(name).parts})


def _rate(wanted: float | None, known: float | None, listing: Path) -> float:
    fps = wanted if wanted is not None else known if known is not None else 1.0
    if not 0 < fps <= 1000:
        raise ConfigError(f"fps must be frames per second above 0 and at most 1000, got {fps!r}")
    if known is not None and fps != known:
        raise ConfigError(
            f"{listing}: has {known:g} frames per second, got {fps:g}; a dataset has one frame rate. Omit --fps to "
            "merge, or prepare it again with --force"
        )
    return fps


def _report(dataset: Dataset, listing: Path, frames: Frames, decoded: int, skipped: Sequence[str]) -> PrepareReport:
    counts: Counter[str] = Counter()
    for item in dataset.examples:
        counts[item.label] += len(frames[item.key()][1])
    return PrepareReport(
        str(listing),
        {label: counts[label] for label in dataset.labels},
        dataset.counts(),
        {name: len(dataset.of_split(name)) for name in ("train", "validation")},
        decoded,
        tuple(skipped),
    )
