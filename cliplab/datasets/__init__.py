"""What a person does with labelled clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.datasets.advise import dataset_advise as dataset_advise
    from cliplab.datasets.advise_report import AdviseReport as AdviseReport
    from cliplab.datasets.advise_words import gain_words as gain_words
    from cliplab.datasets.extraction import ExtractReport as ExtractReport
    from cliplab.datasets.extraction import extract as extract
    from cliplab.datasets.frame_index import INDEX_NAME as INDEX_NAME
    from cliplab.datasets.frame_index import FrameEntry as FrameEntry
    from cliplab.datasets.frame_index import read_index as read_index
    from cliplab.datasets.manage import DatasetReport as DatasetReport
    from cliplab.datasets.manage import dataset_export as dataset_export
    from cliplab.datasets.manage import dataset_import as dataset_import
    from cliplab.datasets.manage import dataset_split as dataset_split
    from cliplab.datasets.manage import dataset_stats as dataset_stats
    from cliplab.datasets.prepare import PrepareReport as PrepareReport
    from cliplab.datasets.prepare import dataset_prepare as dataset_prepare
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "advise": ("dataset_advise",),
            "advise_report": ("AdviseReport",),
            "advise_words": ("gain_words",),
            "extraction": ("ExtractReport", "extract"),
            "frame_index": ("INDEX_NAME", "FrameEntry", "read_index"),
            "manage": ("DatasetReport", "dataset_export", "dataset_import", "dataset_split", "dataset_stats"),
            "prepare": ("PrepareReport", "dataset_prepare"),
        },
    )
