"""Everything that the command line does, as Python: each function is one command of the same name and arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from adapters.errors import ConfigError
from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.inference import OnVideoProgress
    from cliplab.clips import (
        clips_ab_start,
        clips_ab_status,
        clips_ab_stop,
        clips_backup,
        clips_cleanup,
        clips_export,
        clips_features,
        clips_import,
        clips_list,
        clips_rate,
        clips_reset,
        clips_stats,
        clips_tag,
        clips_train,
    )
    from cliplab.datasets import (
        dataset_advise,
        dataset_export,
        dataset_from_db,
        dataset_import,
        dataset_prepare,
        dataset_split,
        dataset_stats,
        extract,
    )
    from cliplab.demo import demo
    from cliplab.detect import SegmentEvaluation, clips_extend, detect, generate, worker
    from cliplab.detect import find_ads as ads
    from cliplab.detect import learn_breaks as ads_learn
    from cliplab.models import (
        Evaluation,
        adopt,
        bench,
        cache_clear,
        cache_show,
        compare,
        config_check,
        config_schema,
        config_show,
        convert,
        dataloop_manifest,
        dataloop_programs,
        doctor,
        ensemble,
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
    from cliplab.registry import (
        registry_compare,
        registry_download,
        registry_export,
        registry_from_folder,
        registry_history,
        registry_init,
        registry_keys,
        registry_lineage,
        registry_list,
        registry_manifest,
        registry_promote,
        registry_publish,
        registry_rollback,
        registry_rotate,
        registry_show,
        registry_to_folder,
        registry_upload,
        registry_zoo,
    )
    from cliplab.rollout import (
        active_collect,
        rollout_halt,
        rollout_history,
        rollout_pause,
        rollout_promote,
        rollout_resume,
        rollout_start,
        rollout_status,
        rollout_widen,
    )
    from cliplab.rollout.device import device_run, device_status
    from cliplab.rollout.serving import (
        registry_device_add,
        registry_device_list,
        registry_device_remove,
        registry_serve,
    )
    from cliplab.scan import scan, score
    from cliplab.studio import label_auto, label_launch, label_rename, label_server, studio
else:  # imported when first used: a function asks for its own extra, and never for that of another
    _fetch, _, _ = lazy_exports(
        __name__,
        {
            "clips": (
                "clips_ab_start",
                "clips_ab_status",
                "clips_ab_stop",
                "clips_backup",
                "clips_cleanup",
                "clips_export",
                "clips_features",
                "clips_import",
                "clips_list",
                "clips_rate",
                "clips_reset",
                "clips_stats",
                "clips_tag",
                "clips_train",
            ),
            "datasets": (
                "dataset_advise",
                "dataset_export",
                "dataset_from_db",
                "dataset_import",
                "dataset_prepare",
                "dataset_split",
                "dataset_stats",
                "extract",
            ),
            "demo": ("demo",),
            "detect": (
                "clips_extend",
                "detect",
                "find_ads",
                "generate",
                "learn_breaks",
                "worker",
            ),
            "models": (
                "adopt",
                "bench",
                "cache_clear",
                "cache_show",
                "compare",
                "config_check",
                "config_schema",
                "config_show",
                "convert",
                "dataloop_manifest",
                "dataloop_programs",
                "doctor",
                "ensemble",
                "explain",
                "finetune",
                "host_http",
                "host_label_studio",
                "predict",
                "stream",
                "train",
                "verify",
            ),
            "reel": ("reel",),
            "registry": (
                "registry_compare",
                "registry_download",
                "registry_export",
                "registry_from_folder",
                "registry_history",
                "registry_init",
                "registry_keys",
                "registry_lineage",
                "registry_list",
                "registry_manifest",
                "registry_promote",
                "registry_publish",
                "registry_rollback",
                "registry_rotate",
                "registry_show",
                "registry_to_folder",
                "registry_upload",
                "registry_zoo",
            ),
            "rollout": (
                "active_collect",
                "rollout_halt",
                "rollout_history",
                "rollout_pause",
                "rollout_promote",
                "rollout_resume",
                "rollout_start",
                "rollout_status",
                "rollout_widen",
            ),
            "rollout.device": (
                "device_run",
                "device_status",
            ),
            "rollout.serving": (
                "registry_device_add",
                "registry_device_list",
                "registry_device_remove",
                "registry_serve",
            ),
            "scan": (
                "scan",
                "score",
            ),
            "studio": (
                "label_auto",
                "label_launch",
                "label_rename",
                "label_server",
                "studio",
            ),
        },
        base="cliplab",
    )
    _RENAMED = {"ads": "find_ads", "ads_learn": "learn_breaks"}

    def __getattr__(name: str) -> Any:
        return _fetch(_RENAMED.get(name, name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "active_collect",
    "adopt",
    "ads",
    "ads_learn",
    "bench",
    "cache_clear",
    "cache_show",
    "clips_ab_start",
    "clips_ab_status",
    "clips_ab_stop",
    "clips_backup",
    "clips_cleanup",
    "clips_export",
    "clips_extend",
    "clips_features",
    "clips_import",
    "clips_list",
    "clips_rate",
    "clips_reset",
    "clips_stats",
    "clips_tag",
    "clips_train",
    "compare",
    "config_check",
    "config_schema",
    "config_show",
    "convert",
    "dataloop_manifest",
    "dataloop_programs",
    "dataset_advise",
    "dataset_export",
    "dataset_from_db",
    "dataset_import",
    "dataset_prepare",
    "dataset_split",
    "dataset_stats",
    "demo",
    "detect",
    "device_run",
    "device_status",
    "doctor",
    "ensemble",
    "evaluate",
    "explain",
    "extract",
    "finetune",
    "generate",
    "host_http",
    "host_label_studio",
    "label_auto",
    "label_launch",
    "label_rename",
    "label_server",
    "predict",
    "reel",
    "registry_compare",
    "registry_device_add",
    "registry_device_list",
    "registry_device_remove",
    "registry_download",
    "registry_export",
    "registry_from_folder",
    "registry_history",
    "registry_init",
    "registry_keys",
    "registry_lineage",
    "registry_list",
    "registry_manifest",
    "registry_promote",
    "registry_publish",
    "registry_rollback",
    "registry_rotate",
    "registry_serve",
    "registry_show",
    "registry_to_folder",
    "registry_upload",
    "registry_zoo",
    "rollout_halt",
    "rollout_history",
    "rollout_pause",
    "rollout_promote",
    "rollout_resume",
    "rollout_start",
    "rollout_status",
    "rollout_widen",
    "scan",
    "score",
    "stream",
    "studio",
    "train",
    "verify",
    "worker",
]


def evaluate(
    model: str | Path | Mapping[str, Any],
    data: str | Path,
    *,
    split: str | None = None,
    cross_validate: Literal["folds", "groups"] | None = None,
    segment_metrics: bool = False,
    output: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    force: bool = False,
    trust_adapters: Sequence[str] = (),
    on_progress: OnVideoProgress | None = None,
) -> Evaluation | SegmentEvaluation:
    """Measure a model on labelled clips, or with ``segment_metrics`` on the ad breaks of whole recordings.

    Args:
        model: As for ``cliplab.models.evaluate``; with segment_metrics a saved model.
        data: Labelled clips; with segment_metrics recordings with marks beside them, or stretches of them.
        split: Which clips; None chooses. Not with segment_metrics.
        cross_validate: "folds" or "groups" refits the head. Not with segment_metrics.
        segment_metrics: Whether to measure breaks, as ``cliplab.detect.evaluate_breaks`` does.
        output: Where figures are written; None writes nothing.
        overrides: Config keys to change.
        force: Replace output if it exists.
        trust_adapters: Adapters of other packages that the model may name.
        on_progress: As for ``cliplab.models.evaluate``. Not with segment_metrics.

    Raises:
        ConfigError: Options do not go together.
        DatasetError: As the two functions.
        StorageError: The output exists, or cannot be written.
    """
    from cliplab.detect import evaluate_breaks
    from cliplab.models import evaluate as evaluate_clips

    if not segment_metrics:
        return evaluate_clips(
            model,
            data,
            split=split,
            cross_validate=cross_validate,
            output=output,
            overrides=overrides,
            force=force,
            trust_adapters=trust_adapters,
            on_progress=on_progress,
        )
    if split is not None or cross_validate is not None or isinstance(model, Mapping):
        raise ConfigError("segment_metrics measures recordings with a saved model. Remove split and cross_validate")
    return evaluate_breaks(model, data, output=output, overrides=overrides, force=force, trust_adapters=trust_adapters)
