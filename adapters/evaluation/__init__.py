"""How good a model is: metrics, gates, curves and plots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.evaluation.curves import calibration_error as calibration_error
    from adapters.evaluation.intervals import drop_interval as drop_interval
    from adapters.evaluation.intervals import share_interval as share_interval
    from adapters.evaluation.metrics import EvaluationReport as EvaluationReport
    from adapters.evaluation.metrics import check_gates as check_gates
    from adapters.evaluation.metrics import evaluate as evaluate
    from adapters.evaluation.metrics import write_report as write_report
    from adapters.evaluation.plots import plot_learning_curves as plot_learning_curves
    from adapters.evaluation.report import GATES as GATES
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "curves": ("calibration_error",),
            "intervals": ("drop_interval", "share_interval"),
            "metrics": ("EvaluationReport", "check_gates", "evaluate", "write_report"),
            "plots": ("plot_learning_curves",),
            "report": ("GATES",),
        },
    )
