"""What a person does with a model: predict, train, evaluate, convert, measure, serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from cliplab.models.bench import BenchReport as BenchReport
    from cliplab.models.configs import ConfigCheck as ConfigCheck
    from cliplab.models.configs import config_check as config_check
    from cliplab.models.configs import config_schema as config_schema
    from cliplab.models.configs import config_show as config_show
    from cliplab.models.conversion import convert as convert
    from cliplab.models.conversion import verify as verify
    from cliplab.models.measure import rendered_clips as rendered_clips
    from cliplab.models.measure import time_predict as time_predict
    from cliplab.models.models import Evaluation as Evaluation
    from cliplab.models.models import PredictReport as PredictReport
    from cliplab.models.models import evaluate as evaluate
    from cliplab.models.models import finetune as finetune
    from cliplab.models.models import predict as predict
    from cliplab.models.models import some as some
    from cliplab.models.models import train as train
    from cliplab.models.serving import host_http as host_http
    from cliplab.models.serving import host_label_studio as host_label_studio

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "bench": ("BenchReport",),
        "configs": ("ConfigCheck", "config_check", "config_schema", "config_show"),
        "conversion": ("convert", "verify"),
        "measure": ("rendered_clips", "time_predict"),
        "models": ("Evaluation", "PredictReport", "evaluate", "finetune", "predict", "some", "train"),
        "serving": ("host_http", "host_label_studio"),
    },
)
