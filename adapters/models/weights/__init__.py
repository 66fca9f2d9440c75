"""Weights files: found, downloaded, verified and read as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.models.weights.downloads import DownloadError as DownloadError
    from adapters.models.weights.downloads import download as download
    from adapters.models.weights.downloads import reason_of as reason_of
    from adapters.models.weights.file_kinds import read_weights_bytes as read_weights_bytes
    from adapters.models.weights.file_kinds import require_regular_file as require_regular_file
    from adapters.models.weights.file_kinds import weights_kind as weights_kind
    from adapters.models.weights.files import PACKAGE_WEIGHTS as PACKAGE_WEIGHTS
    from adapters.models.weights.files import find_package_weights as find_package_weights
    from adapters.models.weights.files import read_safetensors as read_safetensors
    from adapters.models.weights.files import write_safetensors as write_safetensors
    from adapters.models.weights.first_use import require_first_use as require_first_use
    from adapters.models.weights.first_use import trust_first_use as trust_first_use
    from adapters.models.weights.frame_weights import TORCH_SUFFIXES as TORCH_SUFFIXES
    from adapters.models.weights.frame_weights import fitting_classifier as fitting_classifier
    from adapters.models.weights.frame_weights import is_torch_path as is_torch_path
    from adapters.models.weights.frame_weights import read_weights_file as read_weights_file
    from adapters.models.weights.frame_weights import require_finite as require_finite
    from adapters.models.weights.keras_h5 import ARCHIVE_ERRORS as ARCHIVE_ERRORS
    from adapters.models.weights.keras_h5 import LayerArrays as LayerArrays
    from adapters.models.weights.keras_h5 import match_layers as match_layers
    from adapters.models.weights.keras_h5 import read_keras_file as read_keras_file
    from adapters.models.weights.published import find_published_weights as find_published_weights
    from adapters.models.weights.state_names import OUTPUT_BIAS as OUTPUT_BIAS
    from adapters.models.weights.state_names import OUTPUT_KERNEL as OUTPUT_KERNEL
    from adapters.models.weights.state_names import head_tensors as head_tensors
    from adapters.models.weights.state_names import linear_classifier as linear_classifier
    from adapters.models.weights.state_names import match_names as match_names
    from adapters.models.weights.torch_pickle import read_state_dict as read_state_dict
    from adapters.models.weights.torch_writer import write_state_dict as write_state_dict
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "downloads": ("DownloadError", "download", "reason_of"),
            "file_kinds": ("read_weights_bytes", "require_regular_file", "weights_kind"),
            "files": ("PACKAGE_WEIGHTS", "find_package_weights", "read_safetensors", "write_safetensors"),
            "first_use": ("require_first_use", "trust_first_use"),
            "frame_weights": (
                "TORCH_SUFFIXES",
                "fitting_classifier",
                "is_torch_path",
                "read_weights_file",
                "require_finite",
            ),
            "keras_h5": ("ARCHIVE_ERRORS", "LayerArrays", "match_layers", "read_keras_file"),
            "published": ("find_published_weights",),
            "state_names": ("OUTPUT_BIAS", "OUTPUT_KERNEL", "head_tensors", "linear_classifier", "match_names"),
            "torch_pickle": ("read_state_dict",),
            "torch_writer": ("write_state_dict",),
        },
    )
