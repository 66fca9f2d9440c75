"""Features of candidates before they are cut: the same numbers that their clips get when they are registered."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from adapters.errors import AdapterError, MissingExtraError
from cliplab.detect.highlights.candidates import Candidate
from cliplab.detect.highlights.cutting_clips import clip_suffix, cut_clip


class StretchFeatures:
    """Measures stretches of one source as ``clip_features`` measures clips.

    Attributes:
        notes: What could not be measured, in sentences.
    """

    def __init__(self, source: str | Path, offset: float = 0.0) -> None:
        """Nothing is read here.

        Args:
            source: A file.
            offset: Where it begins in the seconds of the candidates.
        """
        self._source, self._offset = source, offset
        self.notes: list[str] = []

    def measure(self, candidate: Candidate) -> dict[str, Any]:
        """Values by name; none where the stretch cannot be measured, which ``notes`` says.

        Args:
            candidate: The stretch.
        """
        from cliplab.clips import clip_features

        try:
            # A clip is measured, so that it has the same features now and when it is rated.
            with tempfile.TemporaryDirectory(prefix="cliplab-features-") as folder:
                target = Path(folder) / f"clip{clip_suffix(self._source)}"
                cut_clip(self._source, candidate.start - self._offset, candidate.end - self._offset, target)
                return clip_features(target)
        except MissingExtraError as error:
            self._note(f"candidates are ordered without sound features, because {error.package} is not installed")
        except AdapterError as error:
            self._note(f"the candidate at {candidate.peak:.1f} s is ordered by its cues only: {error}")
        return {}

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
