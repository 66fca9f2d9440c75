"""The operations on a model: predict, train, evaluate, convert, measure, serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.models.adoption import adopt as adopt
    from cliplab.models.benchmark import BenchReport as BenchReport
    from cliplab.models.benchmark import bench as bench
    from cliplab.models.caches import CacheFolder as CacheFolder
    from cliplab.models.caches import cache_clear as cache_clear
    from cliplab.models.caches import cache_show as cache_show
    from cliplab.models.comparison import compare as compare
    from cliplab.models.comparison_report import Comparison as Comparison
    from cliplab.models.comparison_report import ModelFigures as ModelFigures
    from cliplab.models.configs import ConfigCheck as ConfigCheck
    from cliplab.models.configs import config_check as config_check
    from cliplab.models.configs import config_schema as config_schema
    from cliplab.models.configs import config_show as config_show
    from cliplab.models.conversion import StateDictReport as StateDictReport
    from cliplab.models.conversion import convert as convert
    from cliplab.models.conversion import verify as verify
    from cliplab.models.dataloop_app import DataloopManifestReport as DataloopManifestReport
    from cliplab.models.dataloop_app import dataloop_manifest as dataloop_manifest
    from cliplab.models.dataloop_prepared import DataloopProgramsReport as DataloopProgramsReport
    from cliplab.models.dataloop_prepared import PreparedProgram as PreparedProgram
    from cliplab.models.dataloop_prepared import dataloop_programs as dataloop_programs
    from cliplab.models.ensembles import EnsembleReport as EnsembleReport
    from cliplab.models.ensembles import ensemble as ensemble
    from cliplab.models.evaluation import Evaluation as Evaluation
    from cliplab.models.evaluation import evaluate as evaluate
    from cliplab.models.examination import DoctorReport as DoctorReport
    from cliplab.models.examination import doctor as doctor
    from cliplab.models.explain_figure import explanation_png as explanation_png
    from cliplab.models.explain_report import Explanation as Explanation
    from cliplab.models.explanation import explain as explain
    from cliplab.models.explanation import explain_video as explain_video
    from cliplab.models.explanation import write_explanation as write_explanation
    from cliplab.models.kept_programs import PrecisionChoice as PrecisionChoice
    from cliplab.models.kept_programs import choose_precision as choose_precision
    from cliplab.models.kept_programs import own_precision as own_precision
    from cliplab.models.machine_report import MachineReport as MachineReport
    from cliplab.models.machine_report import machine as machine
    from cliplab.models.measure import rendered_clips as rendered_clips
    from cliplab.models.measure import time_predict as time_predict
    from cliplab.models.prediction import PredictReport as PredictReport
    from cliplab.models.prediction import find_segments as find_segments
    from cliplab.models.prediction import predict as predict
    from cliplab.models.serving import host_http as host_http
    from cliplab.models.serving import host_label_studio as host_label_studio
    from cliplab.models.source import ModelSource as ModelSource
    from cliplab.models.source import name_list as name_list
    from cliplab.models.streaming import stream as stream
    from cliplab.models.training import finetune as finetune
    from cliplab.models.training import train as train
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "adoption": ("adopt",),
            "benchmark": ("BenchReport", "bench"),
            "caches": ("CacheFolder", "cache_clear", "cache_show"),
            "comparison": ("compare",),
            "comparison_report": ("Comparison", "ModelFigures"),
            "configs": ("ConfigCheck", "config_check", "config_schema", "config_show"),
            "conversion": ("StateDictReport", "convert", "verify"),
            "dataloop_app": ("DataloopManifestReport", "dataloop_manifest"),
            "dataloop_prepared": ("DataloopProgramsReport", "PreparedProgram", "dataloop_programs"),
            "examination": ("DoctorReport", "doctor"),
            "ensembles": ("EnsembleReport", "ensemble"),
            "evaluation": ("Evaluation", "evaluate"),
            "explain_figure": ("explanation_png",),
            "explain_report": ("Explanation",),
            "explanation": ("explain", "explain_video", "write_explanation"),
            "kept_programs": ("PrecisionChoice", "choose_precision", "own_precision"),
            "machine_report": ("MachineReport", "machine"),
            "measure": ("rendered_clips", "time_predict"),
            "prediction": ("PredictReport", "find_segments", "predict"),
            "serving": ("host_http", "host_label_studio"),
            "source": ("ModelSource", "name_list"),
            "streaming": ("stream",),
            "training": ("finetune", "train"),
        },
    )
