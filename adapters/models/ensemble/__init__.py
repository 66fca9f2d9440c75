"""Several models that vote on one answer, from one decoding of each video."""

from adapters.models.ensemble.adapter import EnsembleAdapter
from adapters.models.ensemble.members import find_member

__all__ = ["EnsembleAdapter", "find_member"]
