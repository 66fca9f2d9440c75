"""Everything that the command line does, as Python: each function is one command of the same name and arguments."""

from cliplab.datasets import (
    dataset_advise,
    dataset_export,
    dataset_import,
    dataset_prepare,
    dataset_split,
    dataset_stats,
    extract,
)
from cliplab.demo import demo
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
from cliplab.studio import label_launch, label_server, studio

__all__ = [
    "adopt",
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
    "explain",
    "extract",
    "finetune",
    "host_http",
    "host_label_studio",
    "label_launch",
    "label_server",
    "predict",
    "reel",
    "registry_manifest",
    "scan",
    "score",
    "stream",
    "studio",
    "train",
    "verify",
]
