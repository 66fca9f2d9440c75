"""A model that fails on the clips of one source: that source's error, not the end of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from adapters.errors import (
    AdapterError,
    BundleError,
    ConfigError,
    MissingExtraError,
    WeightsError,
    describe_failure,
)
from adapters.records import Clip

Output = TypeVar("Output")
# What is wrong with the run, not with one file. Everything else becomes that file's error; the run continues.
RUN_ERRORS = (ConfigError, MissingExtraError, BundleError, WeightsError)
_PLAIN_LEVELS = 128, 0  # gray and black


@dataclass(frozen=True)
class FailedClip:
    """A clip for which the model returned nothing.

    Attributes:
        error: The reason, with the clip's source.
    """

    error: str


class ClipFunction(Generic[Output]):
    """A model's function of a batch of clips, with a result for each clip whatever the others do to it.

    Where a batch fails, each of its clips is tried alone. An error that is raised on purpose is about the clip; after
    any other the model is tried on plain clips, and if it fails on them as well the fault is its own and is raised.
    """

    def __init__(self, function: Callable[[list[Clip]], Sequence[Output]]) -> None:
        """Prepare a function.

        Args:
            function: Such as an adapter's ``predict``.
        """
        self._function = function

    def __call__(self, clips: Sequence[Clip]) -> list[Output | FailedClip]:
        """The results of clips, in their order.

        Args:
            clips: Of one or several sources.

        Raises:
            Exception: What the model raises for any clip, also a plain one, and errors of the whole run.
        """
        try:
            return list(self._function(list(clips)))
        except Exception as error:
            if len(clips) == 1:
                return [self._failed(clips[0], error)]
        return [result for clip in clips for result in self([clip])]

    def _failed(self, clip: Clip, error: Exception) -> FailedClip:
        if isinstance(error, RUN_ERRORS):
            raise error
        if not isinstance(error, AdapterError) and not any(self._accepts(clip, level) for level in _PLAIN_LEVELS):
            raise error
        return FailedClip(describe_failure(clip.source, error))

    def _accepts(self, clip: Clip, level: int) -> bool:
        plain = replace(clip, frames=np.full_like(clip.frames, level), source="a plain clip")
        try:
            self._function([plain])
        except Exception:
            return False
        return True
