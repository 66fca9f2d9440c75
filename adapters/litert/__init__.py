"""LiteRT programs: run, stream, edit, quantise, cache, and the .tflite that describes itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.system.lazy import lazy_exports

if TYPE_CHECKING:
    from adapters.litert.conversion import compare as compare
    from adapters.litert.conversion import converter_reason as converter_reason
    from adapters.litert.conversion import to_litert as to_litert
    from adapters.litert.dynamic_weights import with_8_bit_weights as with_8_bit_weights
    from adapters.litert.dynamic_weights import with_16_bit_weights as with_16_bit_weights
    from adapters.litert.edit import counts_first as counts_first
    from adapters.litert.graph import builtin_code as builtin_code
    from adapters.litert.graph import operator_name as operator_name
    from adapters.litert.graph import operators as operators
    from adapters.litert.graph import precision as precision
    from adapters.litert.graph import read_graph as read_graph
    from adapters.litert.int8 import Observer as Observer
    from adapters.litert.int8 import with_8_bit_layers as with_8_bit_layers
    from adapters.litert.int8_choice import to_int8 as to_int8
    from adapters.litert.interpreter import first_line as first_line
    from adapters.litert.interpreter import open_interpreter as open_interpreter
    from adapters.litert.interpreter import outputs_by_name as outputs_by_name
    from adapters.litert.interpreter import xnnpack_partitions as xnnpack_partitions
    from adapters.litert.outputs import with_scores as with_scores
    from adapters.litert.runtime import Program as Program
    from adapters.litert.runtime import available_cores as available_cores
    from adapters.litert.stream_program import StreamProgram as StreamProgram
    from adapters.litert.stream_signature import IMAGE as IMAGE
    from adapters.litert.stream_signature import INIT as INIT
    from adapters.litert.tflite_file import clean_description as clean_description
    from adapters.litert.tflite_file import read_described as read_described
    from adapters.litert.tflite_file import read_description as read_description
    from adapters.litert.tflite_file import with_description as with_description
    from adapters.litert.tflite_file import without_description as without_description
    from adapters.litert.trial import TrialRuntime as TrialRuntime
    from adapters.litert.trial import require_tried as require_tried
    from adapters.litert.trial import trust_program as trust_program
    from adapters.litert.trial_process import limit_process as limit_process
    from adapters.litert.writer import GraphWriter as GraphWriter
    from adapters.litert.writer import folded as folded
else:  # hidden from type checkers, so that a name that is not exported is an error
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "conversion": ("compare", "converter_reason", "to_litert"),
            "dynamic_weights": ("with_8_bit_weights", "with_16_bit_weights"),
            "edit": ("counts_first",),
            "graph": ("builtin_code", "operator_name", "operators", "precision", "read_graph"),
            "int8": ("Observer", "with_8_bit_layers"),
            "int8_choice": ("to_int8",),
            "interpreter": ("first_line", "open_interpreter", "outputs_by_name", "xnnpack_partitions"),
            "outputs": ("with_scores",),
            "runtime": ("Program", "available_cores"),
            "stream_program": ("StreamProgram",),
            "stream_signature": ("IMAGE", "INIT"),
            "tflite_file": (
                "clean_description",
                "read_described",
                "read_description",
                "with_description",
                "without_description",
            ),
            "trial": ("TrialRuntime", "require_tried", "trust_program"),
            "trial_process": ("limit_process",),
            "writer": ("GraphWriter", "folded"),
        },
    )
