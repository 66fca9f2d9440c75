"""MoViNet's LiteRT programs, written operator by operator without TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from movinet_adapter.writing.base_program import write_base as write_base
    from movinet_adapter.writing.stream_program import step_program as step_program
    from movinet_adapter.writing.stream_program import write_causal as write_causal
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__, {"base_program": ("write_base",), "stream_program": ("step_program", "write_causal")}
    )
