"""Breaks of a recording while it is made: ``cliplab ads --follow``.

Each break is reported once, a stated delay after its edge, and is not changed later: a player that skips must rely on
it. Cuts are exact to the frame, since every frame comes by. The sound of a file is read beside the picture; of a URL, a
device or stdin, which can be read only once, it is not heard.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.base import BaseModelAdapter
from adapters.bundle import model_digest
from adapters.errors import ConfigError
from adapters.inference import open_model
from adapters.media import LiveVideo, is_live
from adapters.records import Clip, InputSpec, UInt8Array
from cliplab.detect.break_decoder import AdBreak, decide_breaks
from cliplab.detect.break_profile import BreakProfile
from cliplab.detect.gathering import Seen, gather, merge_cuts, silence_cuts
from cliplab.detect.growing_sound import GrowingSound
from cliplab.detect.logo import LogoFinder
from cliplab.detect.looks import Looks, black_stretches, shot_cuts
from cliplab.detect.marks import require_format, write_marks
from cliplab.detect.observations import GRID_SECONDS, Observations
from cliplab.detect.observing import FrameScorer, ad_index, frame_spec
from cliplab.detect.profiles import profile_for_model, read_profile
from cliplab.detect.sound import Sound
from cliplab.outputs import require_new

DELAY_SECONDS = 30.0
GROWING_SECONDS = 20.0
# A decision reads all that was seen, so that it comes less often as a recording grows: at most 2% of its length.
_DECIDE_SECONDS, _DECIDE_SHARE = 5.0, 0.02
_CHUNK_SECONDS = 10.0  # of frames whose cuts are looked for together
_LOGO_SHARE = 0.2  # of a recording's length, after which a logo is looked for again

Event = dict[str, Any]


def follow_ads(
    source: str,
    *,
    model: str | Path | None = None,
    profile: str | Path = "base",
    label: str | None = None,
    output: str | Path | None = None,
    delay_seconds: float = DELAY_SECONDS,
    growing_seconds: float | None = None,
    force: bool = False,
    trust_adapters: Sequence[str] = (),
    on_note: Callable[[str], object] | None = None,
) -> Iterator[Event]:
    """Follow a recording that is still being made, and report its breaks as they come.

    Args:
        source: A file that grows (MPEG-TS, Matroska, fragmented MP4), a URL, a device, or ``-`` for stdin.
        model: A saved model that scores frames; None: evidence only.
        profile: As for ``find_ads``.
        label: As for ``find_ads``.
        output: A file of marks, which is written again with each break that has ended.
        delay_seconds: How long after an edge a break is reported, at least 5. More gives the decoder more to see.
        growing_seconds: How long a file may stay as it is before it is taken to be complete; None: 20 s.
        force: Replace an output that exists.
        trust_adapters: As for ``open_model``.
        on_note: Called with a sentence for each stall and damage.

    Yields:
        {"event": "begins", "start_seconds", "confidence", "now_seconds"} for a break that has begun, and {"event":
        "break", "start_seconds", "end_seconds", "confidence", "why", "now_seconds"} for one that has ended.

    Raises:
        ConfigError: An option is not allowed, or the model does not score frames.
        MediaError: The source cannot be opened or has no frame.
        StorageError: The output exists without force, or cannot be written.
    """
    if not 5.0 <= delay_seconds < math.inf:
        raise ConfigError(f"delay must be seconds of at least 5, got {delay_seconds!r}")
    if output is not None:
        require_format(output)
        require_new(output, force)
    adapter = None if model is None else open_model(model, trust_adapters=trust_adapters)
    if adapter is not None and not adapter.scores_frames:
        raise ConfigError(
            f"{model}: scores clips, but a growing recording is followed frame by frame. Use a frame model"
        )
    index = None if adapter is None else ad_index(adapter, label)
    wanted, notes = profile_for_model(read_profile(profile), "" if model is None else model_digest(model))
    for sentence in notes if on_note is not None else ():
        on_note(sentence)  # type: ignore[misc]
    return _follow(
        source,
        adapter,
        index,
        wanted,
        output,
        delay_seconds,
        GROWING_SECONDS if growing_seconds is None else growing_seconds,
        on_note or (lambda _: None),
    )


def _follow(
    source: str,
    adapter: BaseModelAdapter | None,
    index: int | None,
    profile: BreakProfile,
    output: str | Path | None,
    delay: float,
    growing: float,
    on_note: Callable[[str], object],
) -> Iterator[Event]:
    spec = frame_spec(adapter)
    reporter = _Reporter(profile, delay)
    live = LiveVideo(source, spec, on_note, growing_seconds=None if is_live(source) else growing)
    with LogoFinder() as logo, live, ExitStack() as stack:
        watcher = _Watcher(adapter, index, spec, source, logo)
        for seconds, picture in live:
            if watcher.ears is None and not is_live(source):
                watcher.ears = stack.enter_context(GrowingSound(source, live.first_seconds or 0.0, growing))
            watcher.add(seconds, picture())
            if seconds >= reporter.due:
                yield from _written(reporter.report(watcher.observations(), seconds), reporter, output, source, seconds)
        now = watcher.end
        yield from _written(reporter.report(watcher.observations(), math.inf), reporter, output, source, now)


def _written(
    events: list[Event], reporter: _Reporter, output: str | Path | None, source: str, now: float
) -> Iterator[Event]:
    """The events, after the output has their breaks."""
    if output is not None and (any(one["event"] == "break" for one in events) or not Path(output).exists()):
        write_marks(output, reporter.ended, video=source, duration_seconds=now, frame_rate=None)
    yield from events


@dataclass(eq=False)
class _Watcher:
    """What was seen so far, in some numbers for each second and a list of cuts."""

    adapter: BaseModelAdapter | None
    index: int | None
    spec: InputSpec
    source: str
    logo: LogoFinder
    ears: GrowingSound | None = None
    seen: Seen = field(default_factory=Seen)
    cuts: list[tuple[float, float, str]] = field(default_factory=list)
    end: float = 0.0
    _chunk: Looks = field(default_factory=Looks)
    _next: float = 0.0
    _logo_due: float = 0.0

    def __post_init__(self) -> None:
        with_model = self.adapter is not None and self.index is not None
        self._scorer = (
            FrameScorer(self.adapter, self.index, self.seen.scores, self.seen.features)  # type: ignore[arg-type]
            if with_model
            else None
        )

    def add(self, seconds: float, picture: UInt8Array) -> None:
        """Look at a frame, each one for cuts and one per second for the rest."""
        gray = self._chunk.add(seconds, picture)
        self.end = max(self.end, seconds)
        if seconds >= self._next:
            self._next = (math.floor(seconds / GRID_SECONDS) + 1) * GRID_SECONDS
            self.seen.looks.add(seconds, picture)
            self.logo.add(seconds, gray)
            if self._scorer is not None:
                self._scorer.add(Clip(picture[None], np.array([seconds]), self.source, seconds, seconds + GRID_SECONDS))
        if seconds - self._chunk.seconds[0] >= _CHUNK_SECONDS:
            self._close_chunk()

    def observations(self) -> Observations:
        """All of it on the grid of seconds."""
        self._close_chunk()
        if self._scorer is not None:
            self._scorer.finish()
        if self.end >= self._logo_due:
            self._logo_due = self.end * (1 + _LOGO_SHARE)
            self.seen.logo = self.logo.find()
        nothing = np.zeros(0, np.float32)
        sound = Sound(nothing, nothing, nothing, ["the sound is not analysed"])
        sound = sound if self.ears is None else self.ears.until(self.end)
        seen = gather(self.seen, sound, self.end, [], None, sound.notes)
        times, strength, kinds = merge_cuts(sorted(self.cuts), silence_cuts(sound.levels, self.end), self.end)
        return replace(
            seen, cuts=times, cut_strength=strength, cut_kinds=kinds, exact=[(0.0, self.end)], cut_slack=nothing
        )

    def _close_chunk(self) -> None:
        """Cuts of the frames since the last time; the last ones are looked at again with those that follow."""
        looks = self._chunk
        if len(looks.seconds) < 2:
            return
        interval = (looks.seconds[-1] - looks.seconds[0]) / (len(looks.seconds) - 1)
        found = black_stretches(looks, interval)
        for seconds, strength in zip(*shot_cuts(looks), strict=True):
            if not any(start - interval <= seconds <= end + interval for start, end in found):
                self.cuts.append((float(seconds), float(strength), "shot"))
        self.cuts += [((start + end) / 2, 0.8, "shot+black") for start, end in found]
        fresh = Looks()
        fresh.continue_after(looks)
        self._chunk = fresh


@dataclass(eq=False)
class _Reporter:
    """Says each break once."""

    profile: BreakProfile
    delay: float
    ended: list[AdBreak] = field(default_factory=list)
    due: float = _DECIDE_SECONDS
    _begun: list[float] = field(default_factory=list)

    def report(self, observations: Observations, now: float) -> list[Event]:
        """The events of a moment. now: seconds; infinite at the end of the recording."""
        length = observations.duration_seconds
        self.due = length + max(_DECIDE_SECONDS, _DECIDE_SHARE * length)
        events = []
        for one in decide_breaks(observations, self.profile):
            # What was reported stays; a later opinion on the same stretch is not another break.
            if any(
                min(one.end_seconds, old.end_seconds) > max(one.start_seconds, old.start_seconds) for old in self.ended
            ):
                continue
            known = any(one.start_seconds <= start + self.delay and start < one.end_seconds for start in self._begun)
            is_open = one.end_seconds > min(now, length) - self.delay and now < math.inf
            if one.start_seconds > now - self.delay:
                continue
            if not known:
                self._begun.append(one.start_seconds)
                events.append(
                    {
                        "event": "begins",
                        "start_seconds": round(one.start_seconds, 3),
                        "confidence": round(one.confidence, 4),
                        "now_seconds": round(length, 3),
                    }
                )
            if not is_open:
                self.ended.append(one)
                events.append({"event": "break", **_plain(one), "now_seconds": round(length, 3)})
        return events


def _plain(one: AdBreak) -> dict[str, Any]:
    found = asdict(one)
    digits = {"start_seconds": 3, "end_seconds": 3, "confidence": 4}
    return {**{key: round(found[key], places) for key, places in digits.items()}, "why": found["why"]}
