"""Everything that the command line does, as Python: each function is one command of the same name and arguments."""

from cliplab.datasets import (
    dataset_advise,
    dataset_export,
    dataset_import,
    dataset_prepare,
    dataset_split,
    dataset_stats,
)
from cliplab.demo import demo
from cliplab.detect import evaluate_breaks, learn_breaks
from cliplab.detect import find_ads as ads
from cliplab.models import (
    adopt,
    bench,
    compare,
    config_check,
    config_schema,
    config_show,
    convert,
    dataloop_manifest,
    ensemble,
    evaluate,
    explain,
    finetune,
    host_http,
    host_label_studio,
    predict,
    stream,
    train,
    verify,
)
from cliplab.reel import reel
from cliplab.registry import registry_manifest
from cliplab.scan import scan, score

__all__ = [
    "adopt",
    "ads",
    "bench",
    "compare",
    "config_check",
    "config_schema",
    "config_show",
    "convert",
    "dataloop_manifest",
    "dataset_advise",
    "dataset_export",
    "dataset_import",
    "dataset_prepare",
    "dataset_split",
    "dataset_stats",
    "demo",
    "ensemble",
    "evaluate",
    "evaluate_breaks",
    "explain",
    "finetune",
    "host_http",
    "host_label_studio",
    "learn_breaks",
    "predict",
    "reel",
    "registry_manifest",
    "scan",
    "score",
    "stream",
    "train",
    "verify",
]
