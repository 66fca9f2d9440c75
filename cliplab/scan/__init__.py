"""A library of videos to scores and highlights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.scan.one_pass import ScanProgress as ScanProgress
    from cliplab.scan.one_pass import ScanReport as ScanReport
    from cliplab.scan.one_video import VideoScore as VideoScore
    from cliplab.scan.one_video import score as score
    from cliplab.scan.run import scan as scan
    from cliplab.scan.sampling import choose_sampling as choose_sampling
    from cliplab.scan.sampling import read_rows as read_rows
    from cliplab.scan.scoring import FRAMES_PER_BATCH as FRAMES_PER_BATCH
    from cliplab.scan.scoring import ScoringJob as ScoringJob
    from cliplab.scan.scoring import decode_files as decode_files
    from cliplab.scan.scoring import score_files as score_files
    from cliplab.scan.stored import is_store as is_store
    from cliplab.scan.stored import stored_predictions as stored_predictions
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "one_pass": ("ScanProgress", "ScanReport"),
            "one_video": ("VideoScore", "score"),
            "run": ("scan",),
            "sampling": ("choose_sampling", "read_rows"),
            "scoring": ("FRAMES_PER_BATCH", "ScoringJob", "decode_files", "score_files"),
            "stored": ("is_store", "stored_predictions"),
        },
    )
