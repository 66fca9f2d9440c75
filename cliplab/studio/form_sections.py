"""Where a config's keys appear in a form: those that people edit first, and headings for the others; and units."""

from __future__ import annotations

# What the guides and the platforms' own pages name first, in this order.
FIRST = (
    "name",
    "adapter",
    "labels",
    "positive_label",
    "threshold",
    "top_k",
    "model_id",
    "model_mode",
    "imgz",
    "n_frames",
    "window_seconds",
    "stride_seconds",
    "batch_size",
    "num_epochs",
    "learning_rate",
)
_SECTIONS = {
    "Gates": ("gates",),
    "Frames": (
        "aspect",
        "mean",
        "scale",
        "sampling",
        "fps",
        "sampling_tolerance_seconds",
        "short_clip",
        "crop_fraction",
        "input",
    ),
    "Scores and segments": (
        "task",
        "smoothing_seconds",
        "min_segment_seconds",
        "merge_gap_seconds",
        "best_thresholds",
        "aggregation",
        "top_fraction",
        "memory_seconds",
        "voting",
        "member_weights",
    ),
    "Training": (
        "head",
        "head_solver",
        "calibrate",
        "optimize",
        "early_stopping_patience",
        "keep_best",
        "class_weights",
        "fine_tune_layers",
        "freeze_layers",
        "fine_tune_epochs",
        "fine_tune_learning_rate",
        "mixed_precision",
        "train_batch_norm",
        "augment_views",
        "augmentation",
        "split_fractions",
        "seed",
    ),
    "Program and device": (
        "quantize",
        "num_threads",
        "device",
        "calibration_clips",
        "min_agreement",
        "max_accuracy_drop",
    ),
}
_OTHER = "Model"
_UNITS = {
    "imgz": "pixels",
    "n_frames": "frames",
    "fps": "frames per second",
    "num_epochs": "epochs",
    "fine_tune_epochs": "epochs",
    "early_stopping_patience": "epochs",
    "num_threads": "cores",
    "batch_size": "clips",
    "calibration_clips": "clips",
    "fine_tune_layers": "layers",
    "freeze_layers": "layers",
}
_ENDINGS = {"_seconds": "seconds", "_degrees": "degrees", "_ms": "ms", "_bytes": "bytes", "_fps": "frames per second"}


def section_of(key: str) -> str:
    """The heading under which a key appears; an adapter's own keys are under "Model".

    Args:
        key: A key of a config.
    """
    return next((title for title, keys in _SECTIONS.items() if key in keys), _OTHER)


def unit_of(key: str) -> str:
    """The unit of a key's number; empty without one.

    Args:
        key: A key of a config, or of an object in it.
    """
    return _UNITS.get(key) or next((unit for ending, unit in _ENDINGS.items() if key.endswith(ending)), "")
