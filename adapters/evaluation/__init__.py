"""How good a model is: metrics, gates, curves and plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.evaluation.break_metrics import BreakReport as BreakReport
    from adapters.evaluation.break_metrics import RecordingBreaks as RecordingBreaks
    from adapters.evaluation.break_metrics import iou as iou
    from adapters.evaluation.break_metrics import join_extents as join_extents
    from adapters.evaluation.break_metrics import match_breaks as match_breaks
    from adapters.evaluation.break_metrics import measure_breaks as measure_breaks
    from adapters.evaluation.break_metrics import total_seconds as total_seconds
    from adapters.evaluation.break_metrics import without as without
    from adapters.evaluation.curves import calibration_error as calibration_error
    from adapters.evaluation.curves import reliability_of as reliability_of
    from adapters.evaluation.drawing import BLUE as BLUE
    from adapters.evaluation.drawing import GREEN as GREEN
    from adapters.evaluation.drawing import GREY as GREY
    from adapters.evaluation.drawing import ORANGE as ORANGE
    from adapters.evaluation.drawing import PURPLE as PURPLE
    from adapters.evaluation.drawing import SKY as SKY
    from adapters.evaluation.drawing import VERMILION as VERMILION
    from adapters.evaluation.drawing import new_figure as new_figure
    from adapters.evaluation.drawing import plot_text as plot_text
    from adapters.evaluation.drawing import png_bytes as png_bytes
    from adapters.evaluation.intervals import difference_interval as difference_interval
    from adapters.evaluation.intervals import resample_groups as resample_groups
    from adapters.evaluation.intervals import separate_difference as separate_difference
    from adapters.evaluation.intervals import share_interval as share_interval
    from adapters.evaluation.metrics import EvaluationReport as EvaluationReport
    from adapters.evaluation.metrics import check_gates as check_gates
    from adapters.evaluation.metrics import evaluate as evaluate
    from adapters.evaluation.metrics import write_report as write_report
    from adapters.evaluation.plots import draw_reliability as draw_reliability
    from adapters.evaluation.plots import plot_learning_curves as plot_learning_curves
    from adapters.evaluation.report import COSTS as COSTS
    from adapters.evaluation.report import GATES as GATES
    from adapters.evaluation.thresholds import choose_thresholds as choose_thresholds
    from adapters.evaluation.thresholds import figure_text as figure_text
    from adapters.evaluation.thresholds import threshold_notes as threshold_notes
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "break_metrics": (
                *("BreakReport", "RecordingBreaks", "iou", "join_extents"),
                *("match_breaks", "measure_breaks", "total_seconds", "without"),
            ),
            "curves": ("calibration_error", "reliability_of"),
            "drawing": (
                *("BLUE", "GREEN", "GREY", "ORANGE", "PURPLE", "SKY", "VERMILION"),
                *("new_figure", "plot_text", "png_bytes"),
            ),
            "intervals": ("difference_interval", "separate_difference", "resample_groups", "share_interval"),
            "metrics": ("EvaluationReport", "check_gates", "evaluate", "write_report"),
            "plots": ("draw_reliability", "plot_learning_curves"),
            "report": ("COSTS", "GATES"),
            "thresholds": ("choose_thresholds", "figure_text", "threshold_notes"),
        },
    )
