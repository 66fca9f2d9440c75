"""What the built-in adapters share, and one folder for each family of models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.models.cleaning import clean_copy as clean_copy
    from adapters.models.families import config_of_weights as config_of_weights
    from adapters.models.frame_adapter import FrameModelAdapter as FrameModelAdapter
    from adapters.models.model_adapter import ModelAdapter as ModelAdapter
    from adapters.models.model_adapter import even_frames as even_frames
    from adapters.models.network import Backbone as Backbone
    from adapters.models.network import BackboneShapes as BackboneShapes
    from adapters.models.network import Network as Network
    from adapters.models.network import Pretrained as Pretrained
    from adapters.models.network import Variables as Variables
    from adapters.models.network_adapter import NetworkAdapter as NetworkAdapter
    from adapters.models.state import AnyProgram as AnyProgram
    from adapters.models.written_programs import checked_variables as checked_variables
    from adapters.models.written_programs import write_head as write_head
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "cleaning": ("clean_copy",),
            "families": ("config_of_weights",),
            "frame_adapter": ("FrameModelAdapter",),
            "model_adapter": ("ModelAdapter", "even_frames"),
            "network": ("Backbone", "BackboneShapes", "Network", "Pretrained", "Variables"),
            "network_adapter": ("NetworkAdapter",),
            "state": ("AnyProgram",),
            "written_programs": ("checked_variables", "write_head"),
        },
    )
