"""The import name of the clip guide's scripts; the code is in ``cliplab.clips``."""

from cliplab.clips import Clip, ClipManager

__all__ = ["Clip", "ClipManager"]
