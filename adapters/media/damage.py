"""Damage to a video that was skipped while it was read: counted, and described in words."""

from __future__ import annotations

from dataclasses import dataclass, field

DAMAGED = "(cut short or damaged)"


@dataclass
class Damage:
    """Damage that was skipped in a video, over all passes. Times are source seconds.

    Attributes:
        failures: When each frame that did not decode was due (None: unknown), and FFmpeg's reason.
        concealed: When frames were shown in which the decoder filled in what was damaged.
        gaps: The times of frames after which others are missing, since a part of the file cannot be read.
        notes: Anything else, in words.
        holes: Stretches (start, end) of a broadcast from which no frame came.
        lost: How many frames are missing before each of these times, since the stream skips them without an error.
        cause: Why frames did not decode, where the file is not damaged, as a sentence; None: it is.
    """

    failures: dict[float | None, str] = field(default_factory=dict)
    concealed: set[float] = field(default_factory=set)
    gaps: set[float] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    holes: set[tuple[float, float]] = field(default_factory=set)
    lost: dict[float, int] = field(default_factory=dict)
    cause: str | None = None

    @property
    def is_any(self) -> bool:
        """Whether something was skipped, repaired or noted."""
        return bool(self.failures or self.concealed or self.gaps or self.notes)

    def note(self, text: str) -> None:
        """Add a note if it is new."""
        if text not in self.notes:
            self.notes.append(text)

    def warnings(self, start_seconds: float, frames_seen: int, frames_declared: int) -> tuple[str, ...]:
        """Everything as sentences without a full stop, failures first.

        Args:
            start_seconds: Source time of the first frame, from which the sentences count.
            frames_seen: How many frames were decoded.
            frames_declared: How many the file declares; 0 if it does not say.
        """
        if self.cause is not None:
            return (self.cause, *(note for note in self.notes if DAMAGED not in note))
        notes = list(self.notes)
        if self.failures:
            seconds = min((s for s in self.failures if s is not None), default=None)
            where = "" if seconds is None else f" at {max(seconds - start_seconds, 0):.2f} s"
            total = max(frames_declared, frames_seen + len(self.failures))
            notes.insert(0, f"{len(self.failures)} of {total} frames did not decode ({self.failures[seconds]}{where})")
        if self.concealed:
            count, first = len(self.concealed), min(self.concealed) - start_seconds
            what = "1 frame is" if count == 1 else f"{count} frames are"
            notes.append(f"{what} partly damaged and used as repaired by the decoder, from {max(first, 0):.2f} s")
        if self.gaps:
            first = max(min(self.gaps) - start_seconds, 0)
            where = (
                f"after {first:.2f} s" if len(self.gaps) == 1 else f"at {len(self.gaps)} places, after {first:.2f} s"
            )
            notes.append(f"part of the file cannot be read {where}, and frames may be missing {DAMAGED}")
        if self.lost:
            count, first = sum(self.lost.values()), max(min(self.lost) - start_seconds, 0)
            what = "1 frame is" if count == 1 else f"about {count} frames are"
            where = (
                f"before {first:.2f} s" if len(self.lost) == 1 else f"at {len(self.lost)} places, before {first:.2f} s"
            )
            notes.append(f"{what} missing {where}, where the stream skips {DAMAGED}")
        return tuple(notes)
