"""Ad breaks of recordings, marked and explained: ``cliplab ads``.

Each recording is watched once, and what was seen is kept, so that a folder resumes where it was ended and an evening is
decided again with other settings in a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adapters.bundle import model_digest
from adapters.errors import AdapterError, ConfigError, describe_failure
from adapters.inference import open_model
from adapters.media import probe
from cliplab.detect.break_decoder import AdBreak
from cliplab.detect.following import DELAY_SECONDS, follow_ads
from cliplab.detect.marks import require_format, require_rule, write_marks
from cliplab.detect.observing import OnProgress, ad_index
from cliplab.detect.profiles import read_profile
from cliplab.detect.recordings import Job, Recording, find_in_recording
from cliplab.detect.repeated import index_recordings
from cliplab.detect.repetition import RepetitionIndex
from cliplab.detect.truth import is_mark_suffix
from cliplab.library import find_videos
from cliplab.outputs import require_new


@dataclass(frozen=True, eq=False)
class AdsReport:
    """The result of ``find_ads``.

    Attributes:
        recordings: Each recording, in the order in which they were named.
        model: The model that scored the pictures; None: evidence only.
        profile: The name of the profile.
    """

    recordings: tuple[Recording, ...]
    model: str | None
    profile: str

    @property
    def failed(self) -> int:
        """How many recordings could not be read."""
        return sum(one.error is not None for one in self.recordings)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "model": self.model,
            "profile": self.profile,
            "recordings": [one.to_json() for one in self.recordings],
            "failed": self.failed,
        }


def find_ads(
    videos: str | Path | Sequence[str | Path],
    *,
    model: str | Path | None = None,
    profile: str | Path = "base",
    output: str | Path | None = None,
    merge: str | None = None,
    cut: str | Path | None = None,
    explain: str | Path | None = None,
    label: str | None = None,
    cues: str | Path | None = None,
    audio_stream: int | None = None,
    store: str | Path | None = None,
    repetition: str | Path | None = None,
    again: bool = False,
    follow: bool = False,
    delay: float = DELAY_SECONDS,
    force: bool = False,
    trust_adapters: Sequence[str] = (),
    on_progress: OnProgress | None = None,
    on_recording: Callable[[Recording], object] | None = None,
    on_event: Callable[[dict[str, Any]], object] | None = None,
    on_note: Callable[[str], object] | None = None,
) -> AdsReport:
    """Find the ad breaks of recordings, say why each is one, and mark them for players. Nothing is cut unless asked.

    Args:
        videos: Files, folders and patterns.
        model: A saved model of frames or clips with a label for ads; None: evidence only, which is less sure.
        profile: "base", "sports", "show", "network", or a file with a "break_profile".
        output: Where the marks go: X.edl, .txt (Comskip), .json, .xml (Matroska), .ffmeta or .csv. Only a suffix, as
            ".edl": beside each recording, under its name. Of several recordings, those that have their marks keep them,
            so that a run that was ended goes on; a note says so.
        merge: Keep the marks that the output has, by one of the rules of ``marks.merge_marks``.
        cut: Where a copy of the one recording without its breaks goes; None: nothing is cut.
        explain: Where a picture of the evidence goes: a file of a picture for one recording, a folder for several, in
            which pictures that exist stay.
        label: Which of the model's labels means "ad"; None: its positive label.
        cues: A file of breaks that the broadcaster announces, as an HLS playlist, for one recording.
        audio_stream: Which sound stream is heard, from 0; None: FFmpeg's choice.
        store: Folder where observations are kept; None: the cache.
        repetition: An index file: adverts that are shown twice in these recordings, or in those that the index has
            from before, are known by their sound and picture. It is made where it does not exist. None: not looked for.
        again: Whether to decode recordings again whose observations are stored.
        follow: The one video is a recording that is still being made, a URL, a device or ``-``; see ``follow_ads``.
        delay: With ``follow``: how many seconds after an edge a break is reported.
        force: Replace outputs that exist.
        trust_adapters: As for ``open_model``.
        on_progress: Called with what is done, how much of it and of how much, of the present recording.
        on_recording: Called with each recording when it is done.
        on_event: With ``follow``: called with each event of ``follow_ads``.
        on_note: With ``follow``: called with a sentence for each stall and damage.

    Returns:
        The breaks of each recording, and those that could not be read.

    Raises:
        ConfigError: An option is not allowed or the model has no label for ads.
        DatasetError: No format has the output's suffix.
        StorageError: An output exists without force or merge, or cannot be written.
        MediaError: No recording is named.
    """
    named = [videos] if isinstance(videos, str | Path) else list(videos)
    if follow:
        unfit = {"merge": merge, "cut": cut, "explain": explain, "cues": cues, "audio_stream": audio_stream}
        unfit |= {"store": store, "repetition": repetition, "again": again or None}
        _refuse_with_follow(named, unfit)
        events = follow_ads(
            str(named[0]),
            model=model,
            profile=profile,
            label=label,
            output=output,
            delay_seconds=delay,
            force=force,
            trust_adapters=trust_adapters,
            on_note=on_note,
        )
        return AdsReport((_followed(str(named[0]), events, on_event),), _name(model), str(profile))
    paths = find_videos(named)
    if not paths:
        raise ConfigError("no recording is given. Give a file or a folder of videos")
    outputs = _Outputs(paths, output, merge, cut, explain, force)
    if cues is not None and len(paths) > 1:
        raise ConfigError(f"cues belong to one recording, got {len(paths)}. Give only one of them")
    adapter, digest = (
        (None, "") if model is None else (open_model(model, trust_adapters=trust_adapters), model_digest(model))
    )
    if adapter is not None:
        ad_index(adapter, label)
    job = Job(
        adapter,
        digest,
        label,
        read_profile(profile),
        audio_stream,
        cues,
        None if store is None else Path(store),
        again,
        on_progress,
    )
    done = []
    with ExitStack() as stack:
        if repetition is not None:
            index = stack.enter_context(RepetitionIndex(repetition))
            index_recordings(index, paths, on_progress)
            job = replace(job, repetition=index)
        for path in paths:
            done.append(_one(path, job, outputs))
            if on_recording is not None:
                on_recording(done[-1])
    return AdsReport(tuple(done), _name(model), str(profile))


def _name(model: str | Path | None) -> str | None:
    return None if model is None else str(model)


def _refuse_with_follow(named: Sequence[str | Path], unfit: dict[str, Any]) -> None:
    given = [name for name, value in unfit.items() if value is not None]
    if given:
        raise ConfigError(
            f"{given[0]} is only for complete recordings and cannot be used with follow. Remove one of them"
        )
    if len(named) != 1:
        raise ConfigError(f"follow takes one recording, got {len(named)}. Give only one of them")


def _followed(
    source: str, events: Iterator[dict[str, Any]], on_event: Callable[[dict[str, Any]], object] | None
) -> Recording:
    """What a followed recording came to, after its last event."""
    breaks, now = list[AdBreak](), 0.0
    for event in events:
        now = event["now_seconds"]
        if event["event"] == "break":
            breaks.append(AdBreak(event["start_seconds"], event["end_seconds"], event["confidence"], event["why"]))
        if on_event is not None:
            on_event(event)
    return Recording(source, now, tuple(breaks))


@dataclass(frozen=True)
class _Outputs:
    """Where results go; checked before any recording is watched."""

    paths: Sequence[str]
    output: str | Path | None
    merge: str | None
    cut: str | Path | None
    explain: str | Path | None
    force: bool

    def __post_init__(self) -> None:
        several = len(self.paths) > 1
        if self.merge is not None:
            require_rule(self.merge)
            if self.output is None:
                raise ConfigError("merge decides how existing marks in the output are kept. Also give --output")
        if self.cut is not None and several:
            raise ConfigError(
                f"cut writes one file from one recording, got {len(self.paths)} recordings. Give only one of them"
            )
        if self.output is not None:
            require_format(self.marks(self.paths[0]))
            if several and not is_mark_suffix(self.output):
                raise ConfigError(
                    f"output {self.output} is one file, but there are {len(self.paths)} recordings. Give a suffix "
                    "such as .edl: each recording then gets its marks beside it"
                )
        self._require_apart()
        written = [self.marks(self.paths[0]) if self.output is not None else None, self.cut]
        for target in written:
            if target is not None and any(_same(target, path) for path in self.paths):
                raise ConfigError(f"{target}: is the recording itself, which is never replaced. Use another output")
        for path in self.paths:
            # A run over several recordings resumes: what it has written stays (``stays``).
            if self.output is not None:
                require_new(self.marks(path), self.force or self.merge is not None or several)
            if self.explain is not None:
                require_new(self.picture(path), self.force or several)
        require_new(self.cut, self.force)

    def stays(self, target: Path, merge: str | None = None) -> bool:
        """Whether a result of one of several recordings exists and is kept: nothing is replaced unasked."""
        return len(self.paths) > 1 and not self.force and merge is None and target.exists()

    def _require_apart(self) -> None:
        """Two recordings whose results would have one name, as those of a.mp4 and a.mkv, are refused."""
        for name, place in (("output", self.marks), ("explain", self.picture)):
            if getattr(self, name) is None:
                continue
            made = dict[Path, str]()
            for path in self.paths:
                other = made.setdefault(place(path), path)
                if other != path:
                    raise ConfigError(
                        f"{name}: {path} and {other} would both be written to {place(path)}. Run the command for each "
                        "of them separately"
                    )

    def marks(self, path: str) -> Path:
        assert self.output is not None
        return Path(path).with_suffix(str(self.output)) if is_mark_suffix(self.output) else Path(self.output)

    def picture(self, path: str) -> Path:
        assert self.explain is not None
        explain = Path(self.explain)
        if len(self.paths) == 1 and explain.suffix:
            return explain
        return explain / f"{Path(path).stem}.png"


def _same(one: str | Path, other: str | Path) -> bool:
    return Path(one).exists() and Path(other).exists() and Path(one).samefile(other)


def _one(path: str, job: Job, outputs: _Outputs) -> Recording:
    """One recording and its outputs; what is wrong with it does not end the others."""
    try:
        found = find_in_recording(path, job)
        return _write(found, outputs)
    except ConfigError:  # of the run
        raise
    except AdapterError as error:
        return Recording(path, error=str(error))
    except Exception as error:
        return Recording(path, error=describe_failure(path, error))


def _write(found: Recording, outputs: _Outputs) -> Recording:
    written, notes = list[str](), list(found.notes)
    marks = None if outputs.output is None else outputs.marks(found.path)
    if marks is not None and outputs.stays(marks, outputs.merge):
        notes.append(f"{marks} already exists and was kept; use --force to replace it or --merge to join the marks")
    elif marks is not None:
        notes += write_marks(
            marks,
            found.breaks,
            video=found.path,
            duration_seconds=found.duration_seconds,
            frame_rate=probe(found.path).fps,
            merge=outputs.merge,
        )
        written.append(str(marks))
    picture = None if outputs.explain is None else outputs.picture(found.path)
    if picture is not None and outputs.stays(picture):
        notes.append(f"{picture} already exists and was kept; use --force to replace it")
    elif picture is not None:
        from cliplab.detect.explain_breaks import draw_breaks

        draw_breaks(found, picture)
        written.append(str(picture))
    if outputs.cut is not None:
        from cliplab.detect.cutting import cut_out

        stretches = [(one.start_seconds, one.end_seconds) for one in found.breaks]
        notes += cut_out(found.path, stretches, found.duration_seconds, outputs.cut)
        written.append(str(outputs.cut))
    return replace(found, written=tuple(written), notes=tuple(dict.fromkeys(notes)))
