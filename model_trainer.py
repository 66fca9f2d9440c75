"""The import name of the clip guide's scripts; the code is in ``cliplab.clips``."""

from cliplab.clips import RatingBasedTrainer

__all__ = ["RatingBasedTrainer"]
