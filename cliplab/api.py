"""Everything that the command line does, as Python: each function is one command of the same name and arguments."""

from cliplab.datasets.manage import dataset_export, dataset_import, dataset_split, dataset_stats
from cliplab.datasets.prepare import dataset_prepare
from cliplab.demo.demo import demo
from cliplab.models.bench import bench
from cliplab.models.configs import config_check, config_schema, config_show
from cliplab.models.conversion import convert, verify
from cliplab.models.dataloop_manifest import dataloop_manifest
from cliplab.models.models import evaluate, finetune, predict, train
from cliplab.models.serving import host_http, host_label_studio
from cliplab.models.stream import stream
from cliplab.reel.reel import reel
from cliplab.registry.manifest import registry_manifest
from cliplab.scan.one_video import score
from cliplab.scan.scan import scan

__all__ = [
    "bench",
    "config_check",
    "config_schema",
    "config_show",
    "convert",
    "dataloop_manifest",
    "dataset_export",
    "dataset_import",
    "dataset_prepare",
    "dataset_split",
    "dataset_stats",
    "demo",
    "evaluate",
    "finetune",
    "host_http",
    "host_label_studio",
    "predict",
    "reel",
    "registry_manifest",
    "scan",
    "score",
    "stream",
    "train",
    "verify",
]
