"""Several models that vote on one answer, from one decoding of each video."""

from adapters.models.ensemble.adapter import EnsembleAdapter

__all__ = ["EnsembleAdapter"]
