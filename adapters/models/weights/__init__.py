"""Weights files: found, downloaded, verified and read as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.models.weights.files import find_package_weights as find_package_weights
    from adapters.models.weights.files import read_safetensors as read_safetensors
    from adapters.models.weights.files import write_safetensors as write_safetensors
    from adapters.models.weights.frame_weights import OUTPUT_BIAS as OUTPUT_BIAS
    from adapters.models.weights.frame_weights import OUTPUT_KERNEL as OUTPUT_KERNEL
    from adapters.models.weights.frame_weights import TORCH_SUFFIXES as TORCH_SUFFIXES
    from adapters.models.weights.frame_weights import fitting_classifier as fitting_classifier
    from adapters.models.weights.frame_weights import read_weights_file as read_weights_file
    from adapters.models.weights.published import find_published_weights as find_published_weights
    from adapters.models.weights.torch_writer import write_state_dict as write_state_dict
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "files": ("find_package_weights", "read_safetensors", "write_safetensors"),
            "frame_weights": (
                "OUTPUT_BIAS",
                "OUTPUT_KERNEL",
                "TORCH_SUFFIXES",
                "fitting_classifier",
                "read_weights_file",
            ),
            "published": ("find_published_weights",),
            "torch_writer": ("write_state_dict",),
        },
    )
